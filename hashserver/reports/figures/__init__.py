"""Figures over the ledger: what was checked and hit, which entries, and what connecting a provider changed."""

from hashserver.reports.figures.period import Period
from hashserver.reports.figures.usage import Usage, measure

__all__ = ["Period", "Usage", "measure"]
