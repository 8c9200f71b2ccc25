"""A party's first check of its whole storage, told apart from its steady state.

The ledger does not say which checks were part of a first bulk check, so it is inferred: the usual
day of a party is the median of the later half of its days since its first check; its bulk check
ends with the last day, among the first BULK_DAYS, on which it checked more than BULK_FACTOR times
that. Until a party has been there for LEAST_DAYS, its usual day is not known, and all of its checks
count as bulk.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashserver.ledger.tables.counts import checked_by_party_and_day
from hashserver.ledger.tables.hit_days import hits_by_party_and_day
from hashserver.reports.period import Period

BULK_DAYS, BULK_FACTOR, LEAST_DAYS = 90, 4.0, 28


@dataclass(frozen=True, slots=True)
class Phase:
    """Checks and hits, of first bulk checks or of the steady state."""

    checked: int
    hits: int

    @property
    def per_million(self) -> float | None:
        """Hits per million checks."""
        return self.hits * 1e6 / self.checked if self.checked else None


@dataclass(frozen=True, slots=True)
class PhaseMonth:
    """A month: first bulk checks and steady ones, and the parties that had begun by its end."""

    name: str
    bulk: Phase
    steady: Phase
    parties: int
    joined: int


@dataclass(frozen=True, slots=True)
class _Days:
    """Daily sums of a party from its first check on, int64[n]; bool[n]: whether a day was bulk."""

    first: int
    checked: NDArray[np.int64]
    hits: NDArray[np.int64]
    bulk: NDArray[np.bool_]


def phases_by_month(connection: sqlite3.Connection, period: Period) -> list[PhaseMonth]:
    """First bulk checks and steady ones in each month of a period, and the parties that checked."""
    parties = _parties(connection, period.days.stop)
    months = []
    for name, part in period.by_month():
        bulk, steady = np.zeros(2, np.int64), np.zeros(2, np.int64)
        for party in parties:
            inside = slice(max(0, part.days.start - party.first), max(0, part.days.stop - party.first))
            sums = np.stack([party.checked[inside], party.hits[inside]])
            bulk += sums[:, party.bulk[inside]].sum(1)
            steady += sums[:, ~party.bulk[inside]].sum(1)
        begun = sum(party.first < part.days.stop for party in parties)
        joined = sum(party.first in part.days for party in parties)
        months.append(PhaseMonth(name, Phase(*bulk.tolist()), Phase(*steady.tolist()), begun, joined))
    return months


def bulk_days(checked: NDArray[np.int64]) -> int:
    """How many days the first bulk check of a party took.

    Args:
        checked: int64[n], by day from the first check on.
    """
    if len(checked) < LEAST_DAYS:
        return len(checked)
    usual = float(np.median(checked[len(checked) // 2 :]))
    large = np.flatnonzero(checked[:BULK_DAYS] > BULK_FACTOR * usual)
    return int(large[-1]) + 1 if len(large) else 0


def _parties(connection: sqlite3.Connection, end_day: int) -> list[_Days]:
    checked = checked_by_party_and_day(connection, end_day)
    hits = hits_by_party_and_day(connection, end_day)
    parties = []
    for number, days in checked.items():
        first = min(days)
        sums = np.zeros((2, end_day - first), np.int64)
        for row, by_day in enumerate((days, hits.get(number, {}))):
            for day, count in by_day.items():
                if day >= first:
                    sums[row, day - first] = count
        bulk = np.arange(end_day - first) < bulk_days(sums[0])
        parties.append(_Days(first, sums[0], sums[1], bulk))
    return parties
