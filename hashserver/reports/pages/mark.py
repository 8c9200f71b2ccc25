"""What the files that we write begin with, so that they are known for ours."""

MARK = '<meta name="generator" content="hashserver">'
"""In the head of every page."""
