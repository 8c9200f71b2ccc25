"""The table `counts`: what was asked, by hour, party and hash type.

Hours are whole ones since 1970, UTC. Hits are in it as well, but may lack the last second before a
crash; `hit_days` is exact.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

CountRow = tuple[int, int, str, int, int, int, int]
"""Hour, party, hash type, requests, checked, hits, invalid."""


class CountSums(NamedTuple):
    """Sums of some rows.

    Args:
        requests: that had a hash of the type.
        checked: well-formed hashes.
        hits: those that matched.
        invalid: malformed hashes.
    """

    requests: int = 0
    checked: int = 0
    hits: int = 0
    invalid: int = 0


class PartyUse(NamedTuple):
    """What a party has checked lately, see `use_of_parties`.

    Args:
        last_hour: the last hour in which it checked anything.
        checked, hits: since the month began.
        today: checked since the day began.
    """

    last_hour: int
    checked: int
    hits: int
    today: int


def add_counts(connection: sqlite3.Connection, rows: Iterable[CountRow]) -> None:
    """Add to the rows of the same hour, party and type."""
    connection.executemany(_ADD, rows)


def sum_counts(connection: sqlite3.Connection, hours: range, party: int | None = None) -> CountSums:
    """The sums over some hours."""
    return CountSums._make(connection.execute(f"SELECT {_SUMS} {_HOURS}", _span(hours, party)).fetchone())


def counts_by_party(
    connection: sqlite3.Connection, hours: range, party: int | None = None
) -> dict[int, CountSums]:
    """The sums over some hours, by number of the party."""
    return _by(connection, "party", hours, party)


def counts_by_type(connection: sqlite3.Connection, hours: range, party: int | None = None) -> dict[str, CountSums]:
    """The sums over some hours, by name of the hash type."""
    return _by(connection, "type", hours, party)


def counts_by_day(connection: sqlite3.Connection, hours: range, party: int | None = None) -> dict[int, CountSums]:
    """The sums over some hours, by day since 1970."""
    return _by(connection, "hour / 24", hours, party)


def counts_by_day_and_type(
    connection: sqlite3.Connection, hours: range, party: int
) -> list[tuple[int, str, CountSums]]:
    """What one party asked in some hours, by day and hash type, in that order."""
    rows = connection.execute(
        f"SELECT hour / 24 AS day, type, {_SUMS} {_HOURS} GROUP BY day, type ORDER BY day, type",
        _span(hours, party),
    )
    return [(day, hash_type, CountSums(*sums)) for day, hash_type, *sums in rows]


def checked_by_party_and_day(connection: sqlite3.Connection, end_day: int) -> dict[int, dict[int, int]]:
    """Well-formed hashes before a day, by party and day; days without any are left out."""
    sums: dict[int, dict[int, int]] = {}
    rows = connection.execute(
        "SELECT party, hour / 24, sum(checked) FROM counts WHERE hour < ? AND checked > 0 GROUP BY 1, 2",
        (24 * end_day,),
    )
    for party, day, checked in rows:
        sums.setdefault(party, {})[day] = checked
    return sums


def first_hours(connection: sqlite3.Connection) -> dict[int, int]:
    """The hour of the first check of each party, by its number."""
    return dict(connection.execute("SELECT party, min(hour) FROM counts WHERE checked > 0 GROUP BY party"))


def use_of_parties(
    connection: sqlite3.Connection, hours: range, *, month_begin: int, day_begin: int
) -> dict[int, PartyUse]:
    """What each party has checked lately.

    Args:
        connection: to a ledger.
        hours: to look at; parties without a row in them are left out.
        month_begin, day_begin: the hours in which the month and the day began.
    """
    values = {**_span(hours, None), "month": month_begin, "today": day_begin}
    return {party: PartyUse(*sums) for party, *sums in connection.execute(_USE, values)}


def counts_of_all_types(connection: sqlite3.Connection) -> dict[str, CountSums]:
    """The sums over everything that is kept, by hash type."""
    rows = connection.execute(f"SELECT type, {_SUMS} FROM counts GROUP BY type ORDER BY type")  # noqa: S608
    return {hash_type: CountSums(*sums) for hash_type, *sums in rows}


def counts_of_all_parties(connection: sqlite3.Connection) -> dict[int, CountSums]:
    """The sums over everything that is kept, by number of the party."""
    rows = connection.execute(f"SELECT party, {_SUMS} FROM counts GROUP BY party ORDER BY party")  # noqa: S608
    return {party: CountSums(*sums) for party, *sums in rows}


def newest_days_of_counts(connection: sqlite3.Connection, most: int) -> list[int]:
    """The newest days since 1970 that have counts, newest first."""
    days: list[int] = []
    while len(days) < most:
        end = 24 * days[-1] if days else 1 << 62
        (hour,) = connection.execute("SELECT max(hour) FROM counts WHERE hour < ?", (end,)).fetchone()
        if hour is None:
            break
        days.append(hour // 24)
    return days


def has_counts_before(connection: sqlite3.Connection, hour: int) -> bool:
    """Whether there are rows of earlier hours."""
    return connection.execute("SELECT 1 FROM counts WHERE hour < ? LIMIT 1", (hour,)).fetchone() is not None


def delete_counts_before(connection: sqlite3.Connection, hour: int, most: int) -> int:
    """Delete up to `most` rows of earlier hours, and return how many."""
    return connection.execute(_DELETE, (hour, most)).rowcount


def _by(connection: sqlite3.Connection, key: str, hours: range, party: int | None) -> dict[Any, CountSums]:
    rows = connection.execute(f"SELECT {key}, {_SUMS} {_HOURS} GROUP BY 1", _span(hours, party))
    return {name: CountSums(*sums) for name, *sums in rows}


def _span(hours: range, party: int | None) -> dict[str, int | None]:
    return {"first": hours.start, "end": hours.stop, "party": party}


_HOURS = "FROM counts WHERE hour >= :first AND hour < :end AND (:party IS NULL OR party = :party)"
_SUMS = "coalesce(sum(requests), 0), coalesce(sum(checked), 0), coalesce(sum(hits), 0), coalesce(sum(invalid), 0)"
_ADD = """
INSERT INTO counts (hour, party, type, requests, checked, hits, invalid) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, checked = checked + excluded.checked,
    hits = hits + excluded.hits, invalid = invalid + excluded.invalid
"""
_USE = """
SELECT party, max(hour), sum(CASE WHEN hour >= :month THEN checked ELSE 0 END),
    sum(CASE WHEN hour >= :month THEN hits ELSE 0 END), sum(CASE WHEN hour >= :today THEN checked ELSE 0 END)
FROM counts WHERE hour >= :first AND hour < :end GROUP BY party
"""
_DELETE = """
DELETE FROM counts WHERE (hour, party, type) IN (SELECT hour, party, type FROM counts WHERE hour < ? LIMIT ?)
"""
