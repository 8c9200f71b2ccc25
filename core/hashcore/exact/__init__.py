"""Exact lookup: a filter, and tables sorted by leading bits."""
