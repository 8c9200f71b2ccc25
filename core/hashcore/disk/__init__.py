"""The LMDB environment and what lies under which key."""
