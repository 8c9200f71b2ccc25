"""Figures from the ledger: checks and hits, entries that matched, and what connecting changed."""

from hashserver.reports.figures.usage import Usage, measure
from hashserver.reports.period import Period

__all__ = ["Period", "Usage", "measure"]
