"""Whether a store is what was written, and fits together."""
