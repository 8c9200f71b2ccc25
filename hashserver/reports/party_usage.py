"""What a party has asked and what matched, from the ledger."""

from __future__ import annotations

from typing import Any

from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.ledger.tables.counts import counts_by_day_and_type
from hashserver.ledger.tables.hit_days import hits_by_set_category_and_type
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
        counts = counts_by_day_and_type(connection, period.hours, party.number)
        hits = hits_by_set_category_and_type(connection, period.days, party.number)
    days = [
        {"day": date_of_day(day).isoformat(), "type": hash_type, **sums._asdict()}
        for day, hash_type, sums in counts
    ]
    return {
        "party": party.name,
        "from": period.start.isoformat(),
        "to": period.last.isoformat(),
        "max_rate": party.max_rate,
        "daily_quota": party.daily_quota,
        "days": days,
        "hits": [
            {"set": set_name, "category": category or None, "type": hash_type, **sums._asdict()}
            for (set_name, category, hash_type), sums in hits.items()
        ],
    }
