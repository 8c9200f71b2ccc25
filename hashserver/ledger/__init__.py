"""The durable record: parties and their keys, matches, counts, feedback and admin actions."""

from hashserver.ledger.database import Ledger, LedgerError, LedgerFull, LedgerMissing

__all__ = ["Ledger", "LedgerError", "LedgerFull", "LedgerMissing"]
