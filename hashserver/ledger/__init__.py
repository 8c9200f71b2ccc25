"""The durable record: parties and their keys, hits, counts, feedback and what admins did."""

from hashserver.ledger.database import Ledger, LedgerError, LedgerFull

__all__ = ["Ledger", "LedgerError", "LedgerFull"]
