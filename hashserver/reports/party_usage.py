"""What a party has asked and what matched, from the ledger."""

from __future__ import annotations

from typing import Any

from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.parties import Party
from hashserver.reports.period import Period
from hashserver.times import date_of_day


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
    with ledger.reading() as connection:
        counts = connection.execute(_COUNTS, (party.number, period.hours.start, period.hours.stop)).fetchall()
        hits = connection.execute(_HITS, (party.number, period.days.start, period.days.stop)).fetchall()
    days = [
        {
            "day": date_of_day(day).isoformat(),
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
        "from": period.start.isoformat(),
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
WHERE party = ? AND hour >= ? AND hour < ? GROUP BY day, type ORDER BY day, type
"""
_HITS = """
SELECT set_name, category, type, sum(hits), sum(matches) FROM hit_days
WHERE party = ? AND day >= ? AND day < ? GROUP BY set_name, category, type ORDER BY set_name, category, type
"""
