"""Reports for people: self-contained HTML pages, in Dutch and English, made to be printed."""
