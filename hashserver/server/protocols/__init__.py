"""Protocols that existing clients speak, one module each, over the same engine, parties and ledger."""
