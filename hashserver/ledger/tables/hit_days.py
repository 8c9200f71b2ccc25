"""The table `hit_days`: hits and matches by day, party, set, category, hash type and distance.

Days are whole ones since 1970, UTC. The category "" is none. A hit counts once, for the set,
category and distance of its nearest match; matches count every entry that a hit names.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from hashserver.ledger.tables.many import insert_many

DayKey = tuple[int, int, str, str, str, int]
"""Day, party, set, category, hash type, distance."""


class HitSums(NamedTuple):
    """Sums of some rows: checks that matched, and the entries that they named."""

    hits: int = 0
    matches: int = 0


def add_days(connection: sqlite3.Connection, sums: dict[DayKey, list[int]]) -> None:
    """Add hits and matches to the rows of the same key."""
    insert_many(connection, _ADD, [(*key, *row) for key, row in sums.items()], _ON_CONFLICT)


def newest_days_of_hits(connection: sqlite3.Connection, most: int) -> list[int]:
    """The newest days since 1970 that have hits, newest first."""
    rows = connection.execute("SELECT DISTINCT day FROM hit_days ORDER BY day DESC LIMIT ?", (most,))
    return [day for (day,) in rows]


def sum_hits(connection: sqlite3.Connection, days: range, party: int | None = None) -> HitSums:
    """The sums over some days."""
    return HitSums._make(connection.execute(f"SELECT {_SUMS} {_DAYS}", _span(days, party)).fetchone())


def hits_by_party(connection: sqlite3.Connection, days: range, party: int | None = None) -> dict[int, HitSums]:
    """The sums over some days, by number of the party."""
    return _by(connection, "party", days, party)


def hits_by_type(connection: sqlite3.Connection, days: range, party: int | None = None) -> dict[str, HitSums]:
    """The sums over some days, by name of the hash type."""
    return _by(connection, "type", days, party)


def hits_by_set(connection: sqlite3.Connection, days: range, party: int | None = None) -> dict[str, HitSums]:
    """The sums over some days by set, those with most hits first."""
    return _by(connection, "set_name", days, party, "ORDER BY 2 DESC, 1")


def hits_by_category(connection: sqlite3.Connection, days: range, party: int | None = None) -> dict[str, HitSums]:
    """The sums over some days by category, those with most hits first."""
    return _by(connection, "category", days, party, "ORDER BY 2 DESC, 1")


def hits_by_distance(
    connection: sqlite3.Connection, days: range, party: int | None = None
) -> dict[tuple[str, int], HitSums]:
    """The sums over some days by hash type and distance, in that order."""
    rows = connection.execute(
        f"SELECT type, distance, {_SUMS} {_DAYS} GROUP BY type, distance ORDER BY type, distance",
        _span(days, party),
    )
    return {(hash_type, distance): HitSums(*sums) for hash_type, distance, *sums in rows}


def hits_by_set_category_and_type(
    connection: sqlite3.Connection, days: range, party: int
) -> dict[tuple[str, str, str], HitSums]:
    """What matched for one party on some days, by set, category and hash type, in that order."""
    rows = connection.execute(
        f"SELECT set_name, category, type, {_SUMS} {_DAYS} "
        "GROUP BY set_name, category, type ORDER BY set_name, category, type",
        _span(days, party),
    )
    return {(name, category, hash_type): HitSums(*sums) for name, category, hash_type, *sums in rows}


def hits_by_party_and_day(connection: sqlite3.Connection, end_day: int) -> dict[int, dict[int, int]]:
    """Hits before a day, by party and day."""
    sums: dict[int, dict[int, int]] = {}
    rows = connection.execute("SELECT party, day, sum(hits) FROM hit_days WHERE day < ? GROUP BY 1, 2", (end_day,))
    for party, day, hits in rows:
        sums.setdefault(party, {})[day] = hits
    return sums


def _by(
    connection: sqlite3.Connection, key: str, days: range, party: int | None, order: str = ""
) -> dict[Any, HitSums]:
    rows = connection.execute(f"SELECT {key}, {_SUMS} {_DAYS} GROUP BY 1 {order}", _span(days, party))
    return {name: HitSums(*sums) for name, *sums in rows}


def _span(days: range, party: int | None) -> dict[str, int | None]:
    return {"first": days.start, "end": days.stop, "party": party}


_DAYS = "FROM hit_days WHERE day >= :first AND day < :end AND (:party IS NULL OR party = :party)"
_SUMS = "coalesce(sum(hits), 0), coalesce(sum(matches), 0)"
_ADD = "INSERT INTO hit_days (day, party, set_name, category, type, distance, hits, matches)"
_ON_CONFLICT = "ON CONFLICT DO UPDATE SET hits = hits + excluded.hits, matches = matches + excluded.matches"
