"""What a party has asked and what matched, from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.parties import Party

_EPOCH = date(1970, 1, 1)
MOST_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, both ends included."""

    first: date
    last: date


def today() -> date:
    """The day it is, UTC."""
    return datetime.now(UTC).date()


def period_of(first: date | None, last: date | None) -> Period:
    """The days asked for: up to today, from the first of the last day's month, where nothing is said.

    Raises:
        ValueError: it ends before it begins, or is longer than ten years; the message says so.
    """
    last = last or max(today(), first or today())
    first = first or last.replace(day=1)
    if last < first:
        raise ValueError(f"the period ends on {last}, before it begins on {first}")
    if (last - first).days >= MOST_DAYS:
        raise ValueError(f"the period is longer than {MOST_DAYS:,} days; ask in parts")
    return Period(first, last)


def read_usage(ledger: Ledger, party: Party, period: Period) -> dict[str, Any]:
    """Counts by day and type, and hits by set and category.

    Args:
        ledger: not read-only: what is not prepared for reports yet is prepared first.
        party: whose.
        period: days.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    fold(ledger)
    first, last = ((day - _EPOCH).days for day in (period.first, period.last))
    with ledger.reading() as connection:
        counts = connection.execute(_COUNTS, (party.number, first * 24, last * 24 + 23)).fetchall()
        hits = connection.execute(_HITS, (party.number, first, last)).fetchall()
    days = [
        {
            "day": (_EPOCH + timedelta(days=day)).isoformat(),
            "type": kind,
            "requests": requests,
            "checked": checked,
            "hits": matched,
            "invalid": invalid,
        }
        for day, kind, requests, checked, matched, invalid in counts
    ]
    return {
        "party": party.name,
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "max_rate": party.max_rate,
        "daily_quota": party.daily_quota,
        "days": days,
        "hits": [
            {"set": set_name, "category": category or None, "type": kind, "hits": matched, "matches": matches}
            for set_name, category, kind, matched, matches in hits
        ],
    }


_COUNTS = """
SELECT hour / 24 AS day, type, sum(requests), sum(checked), sum(hits), sum(invalid) FROM counts
WHERE party = ? AND hour BETWEEN ? AND ? GROUP BY day, type ORDER BY day, type
"""
_HITS = """
SELECT set_name, category, type, sum(hits), sum(matches) FROM hit_days
WHERE party = ? AND day BETWEEN ? AND ? GROUP BY set_name, category, type ORDER BY set_name, category, type
"""
