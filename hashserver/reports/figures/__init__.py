"""Figures over the ledger: what was checked and hit, which entries, and what connecting a provider changed."""

from hashserver.reports.figures.usage import Usage, measure
from hashserver.reports.period import Period

__all__ = ["Period", "Usage", "measure"]
