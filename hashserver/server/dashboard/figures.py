"""What the pages show of the ledger. All times are UTC.

Checks and hits over time are from `counts`, hits by set and category from `hit_days`; a hit counts
once, for the set and category of its nearest match.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

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
        return self.days[-1]

    @property
    def month(self) -> Count:
        return self.months[-1]


@dataclass(frozen=True, slots=True)
class PartyRow:
    """A party on the page of parties.

    Args:
        number, name: in the ledger.
        created: Unix milliseconds.
        disabled: whether it is let in no longer.
        permissions: their names.
        max_rate, daily_quota: limits, or None.
        month: its checks and hits of this month.
        today: its checks today.
        last_seen: begin of the hour of its last check, Unix milliseconds; None: none in SEEN_DAYS.
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
    """The figures of a party, or of all when None."""
    today, month = now_ms // DAY_MS, month_of(now_ms)
    first_month = start_of_month(month - MONTHS + 1) // DAY_MS
    begin = min(today - DAYS + 1, first_month)
    by_day = {
        day: (checked, hits)
        for day, checked, hits in connection.execute(_BY_DAY, _span(begin * 24, today * 24 + 24, party))
    }
    days = [Count(_day(day), *by_day.get(day, (0, 0))) for day in range(today - DAYS + 1, today + 1)]
    month_span = _span((today - DAYS + 1) * 24, today * 24 + 24, party)
    types = [Count(*row) for row in connection.execute(_BY_TYPE, month_span)]
    span = _span(today - DAYS + 1, today + 1, party)
    sets = [Share(*row) for row in connection.execute(_BY_SET, span)]
    categories = [Share(*row) for row in connection.execute(_BY_CATEGORY, span)]
    hour = now_ms // HOUR_MS
    sums = connection.execute(_SUM, _span(hour, hour + 1, party)).fetchone()
    return Figures(
        days,
        _months(by_day, month),
        types,
        sets,
        categories,
        Count("hour", *sums),
        max(1.0, now_ms % HOUR_MS / 1000),
    )


def read_live(connection: sqlite3.Connection, party: int | None) -> Live:
    """Totals as they are at this moment, as of half a second ago."""
    now = now_ms()
    yesterday = (now // DAY_MS - 1) * 24
    return Live(now, *connection.execute(_SUM, _span(yesterday, yesterday + 49, party)).fetchone())


def read_parties(connection: sqlite3.Connection, now_ms: int) -> list[PartyRow]:
    """All parties by name, those that are let in no longer at the end."""
    day = now_ms // DAY_MS
    query = {
        "first": (day - SEEN_DAYS) * 24,
        "month": start_of_month(month_of(now_ms)) // HOUR_MS,
        "today": day * 24,
        "end": day * 24 + 24,
    }
    used = {row[0]: row[1:] for row in connection.execute(_USED, query)}
    rows = []
    for number, name, created, disabled, permissions, rate, quota in connection.execute(_PARTIES):
        last, checked, hits, today = used.get(number, (None, 0, 0, 0))
        seen = None if last is None else last * HOUR_MS
        month = Count("month", checked, hits)
        rows.append(
            PartyRow(
                number, name, created, bool(disabled), orjson.loads(permissions), rate, quota, month, today, seen
            )
        )
    return rows


def _months(by_day: dict[int, tuple[int, int]], last: int) -> list[Count]:
    sums = {month: [0, 0] for month in range(last - MONTHS + 1, last + 1)}
    for day, (checked, hits) in by_day.items():
        row = sums.get(month_of(day * DAY_MS))
        if row is not None:
            row[0] += checked
            row[1] += hits
    return [Count(name_of_month(month), *row) for month, row in sums.items()]


def _day(day: int) -> str:
    return date_of_day(day).isoformat()


def _span(first: int, end: int, party: int | None) -> dict[str, int | None]:
    return {"first": first, "end": end, "party": party}


def as_time(ms: float) -> str:
    """Unix milliseconds such as `2026-03-01 04:00`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


# Put together from constants only.
_HOURS = "FROM counts WHERE hour >= :first AND hour < :end AND (:party IS NULL OR party = :party)"
_SPAN = "FROM hit_days WHERE day >= :first AND day < :end AND (:party IS NULL OR party = :party)"
_SUM = f"SELECT coalesce(sum(checked), 0), coalesce(sum(hits), 0) {_HOURS}"
_BY_DAY = f"SELECT hour / 24, sum(checked), sum(hits) {_HOURS} GROUP BY 1"
_BY_TYPE = f"SELECT type, sum(checked), sum(hits) {_HOURS} GROUP BY 1 ORDER BY 2 DESC, 1"
_SUMS = "sum(hits), sum(matches)"
_BY_SET = f"SELECT set_name, {_SUMS} {_SPAN} GROUP BY 1 ORDER BY 2 DESC, 1"
_BY_CATEGORY = f"SELECT category, {_SUMS} {_SPAN} GROUP BY 1 ORDER BY 2 DESC, 1"
_USED = """
SELECT party, max(hour), sum(CASE WHEN hour >= :month THEN checked ELSE 0 END),
    sum(CASE WHEN hour >= :month THEN hits ELSE 0 END), sum(CASE WHEN hour >= :today THEN checked ELSE 0 END)
FROM counts WHERE hour >= :first AND hour < :end GROUP BY party
"""
_PARTIES = """
SELECT id, name, created, disabled, permissions, max_rate, daily_quota FROM parties
ORDER BY disabled IS NOT NULL, name COLLATE NOCASE
"""
