"""Protocols of existing clients, one module each, over the same engine, parties and ledger."""
