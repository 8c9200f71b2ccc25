"""Near-duplicates: everything within a distance, by scanning or through an index."""
