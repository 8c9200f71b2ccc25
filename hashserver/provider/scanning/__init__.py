"""Scanning a storage: walk it, hash what is new, ask the server, and remember, so that the next scan is short."""
