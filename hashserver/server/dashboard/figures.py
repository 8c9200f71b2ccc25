"""What the pages show of the ledger. All times are UTC.

Checks and hits over time are from `counts`, hits by set and category from `hit_days`; a hit counts
once, for the set and category of its nearest match.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from hashserver.ledger.tables.counts import (
    CountSums,
    counts_by_day,
    counts_by_type,
    sum_counts,
    use_of_parties,
)
from hashserver.ledger.tables.hit_days import HitSums, hits_by_category, hits_by_set
from hashserver.ledger.tables.parties import all_parties
from hashserver.times import DAY_MS, HOUR_MS, date_of_day, month_of, name_of_month, now_ms, start_of_month

DAYS, MONTHS = 30, 12
SEEN_DAYS = 90
"""How far back the page of parties looks for their last check."""


@dataclass(frozen=True, slots=True)
class Count:
    """Checks and hits of a day, month or hash type."""

    name: str
    checked: int = 0
    hits: int = 0

    @property
    def per_million(self) -> float | None:
        """Hits per million checks."""
        return self.hits * 1e6 / self.checked if self.checked else None


@dataclass(frozen=True, slots=True)
class Share:
    """Hits of a set or category."""

    name: str
    hits: int
    matches: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all parties or of one.

    Args:
        days: the last DAYS days, today included, oldest first.
        months: the last MONTHS months, this one included, oldest first.
        types: of these days, by hash type.
        sets, categories: hits of these days, most first; category "" is none.
        hour: checked since the hour began.
        hour_seconds: how long ago that was.
    """

    days: list[Count]
    months: list[Count]
    types: list[Count]
    sets: list[Share]
    categories: list[Share]
    hour: Count
    hour_seconds: float

    @property
    def today(self) -> Count:
        """Checks and hits since midnight."""
        return self.days[-1]

    @property
    def month(self) -> Count:
        """Checks and hits since the month began."""
        return self.months[-1]


@dataclass(frozen=True, slots=True)
class PartyRow:
    """A party on the page of parties.

    Args:
        number, name: in the ledger.
        created: Unix milliseconds.
        disabled: whether its keys are refused.
        permissions: their names.
        max_rate, daily_quota: limits, or None.
        month: its checks and hits of this month.
        today: its checks today.
        last_seen: start of the hour of its last check, Unix milliseconds; None: none in SEEN_DAYS.
    """

    number: int
    name: str
    created: int
    disabled: bool
    permissions: list[str]
    max_rate: float | None
    daily_quota: int | None
    month: Count
    today: int
    last_seen: int | None


@dataclass(frozen=True, slots=True)
class Live:
    """Totals since the beginning of yesterday; two of them give a rate.

    Args:
        time: Unix milliseconds.
        checked, hits: sums.
    """

    time: int
    checked: int
    hits: int


def read_figures(connection: sqlite3.Connection, party: int | None, now_ms: int) -> Figures:
    """The figures of a party (number), or of all if None."""
    today, month = now_ms // DAY_MS, month_of(now_ms)
    first_month = start_of_month(month - MONTHS + 1) // DAY_MS
    begin = min(today - DAYS + 1, first_month)
    by_day = counts_by_day(connection, range(begin * 24, today * 24 + 24), party)
    shown = range(today - DAYS + 1, today + 1)
    by_type = counts_by_type(connection, range(shown.start * 24, shown.stop * 24), party)
    types = [_count(name, sums) for name, sums in by_type.items()]
    hour = now_ms // HOUR_MS
    return Figures(
        [_count(date_of_day(day).isoformat(), by_day.get(day)) for day in shown],
        _months(by_day, month),
        sorted(types, key=lambda one: (-one.checked, one.name)),
        _shares(hits_by_set(connection, shown, party)),
        _shares(hits_by_category(connection, shown, party)),
        _count("hour", sum_counts(connection, range(hour, hour + 1), party)),
        max(1.0, now_ms % HOUR_MS / 1000),
    )


def read_live(connection: sqlite3.Connection, party: int | None) -> Live:
    """Totals since the beginning of yesterday, at most half a second old."""
    now = now_ms()
    yesterday = (now // DAY_MS - 1) * 24
    sums = sum_counts(connection, range(yesterday, yesterday + 49), party)
    return Live(now, sums.checked, sums.hits)


def read_parties(connection: sqlite3.Connection, now_ms: int) -> list[PartyRow]:
    """All parties by name, disabled ones last."""
    day = now_ms // DAY_MS
    used = use_of_parties(
        connection,
        range((day - SEEN_DAYS) * 24, day * 24 + 24),
        month_begin=start_of_month(month_of(now_ms)) // HOUR_MS,
        day_begin=day * 24,
    )
    rows = []
    for party in all_parties(connection):
        use = used.get(party.number)
        rows.append(
            PartyRow(
                party.number,
                party.name,
                party.created,
                party.disabled is not None,
                party.permissions,
                party.max_rate,
                party.daily_quota,
                Count("month", use.checked, use.hits) if use else Count("month"),
                use.today if use else 0,
                use.last_hour * HOUR_MS if use else None,
            )
        )
    return rows


def _count(name: str, sums: CountSums | None) -> Count:
    return Count(name) if sums is None else Count(name, sums.checked, sums.hits)


def _shares(hits: dict[str, HitSums]) -> list[Share]:
    return [Share(name, *sums) for name, sums in hits.items()]


def _months(by_day: dict[int, CountSums], last: int) -> list[Count]:
    sums = {month: [0, 0] for month in range(last - MONTHS + 1, last + 1)}
    for day, counts in by_day.items():
        row = sums.get(month_of(day * DAY_MS))
        if row is not None:
            row[0] += counts.checked
            row[1] += counts.hits
    return [Count(name_of_month(month), *row) for month, row in sums.items()]


def as_time(ms: float) -> str:
    """Unix milliseconds such as `2026-03-01 04:00`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
