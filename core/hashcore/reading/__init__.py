"""A published generation, open for checking."""
