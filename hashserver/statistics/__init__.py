"""Figures over the ledger: what was checked and hit, which entries, and what connecting a provider changed."""

from hashserver.statistics.period import Period
from hashserver.statistics.usage import Usage, measure

__all__ = ["Period", "Usage", "measure"]
