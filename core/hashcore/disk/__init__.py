"""The LMDB environment, and the records under its keys."""
