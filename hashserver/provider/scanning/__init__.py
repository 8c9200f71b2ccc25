"""Scanning storage: hash what is new, ask the server, and remember it for the next scan."""
