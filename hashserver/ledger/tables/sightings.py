"""The table `sightings`: when and how often each entry matched, by month and party.

Months are whole ones since January 1970, UTC; `first` and `last` are Unix milliseconds. It outlives
the rows that it sums up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from hashserver.ledger.tables.columns import read_columns
from hashserver.ledger.tables.many import insert_many

SightingKey = tuple[int, int, int]
"""Month, number of the entry, party."""


class SightingColumns(NamedTuple):
    """Columns of n rows."""

    entries: list[int]
    parties: list[int]
    matches: list[int]


def add_sightings(connection: sqlite3.Connection, sums: dict[SightingKey, list[int]]) -> None:
    """Add first and last time and matches to the rows of the same key."""
    insert_many(connection, _ADD, [(*key, *row) for key, row in sorted(sums.items())], _ON_CONFLICT)


def sightings_of(
    connection: sqlite3.Connection, month: int, entries: range, party: int | None = None
) -> SightingColumns:
    """The sightings of some entries (numbers) in a month, column by column."""
    chosen = {"start": entries.start, "end": entries.stop, "month": month, "party": party}
    return SightingColumns(*read_columns(connection, _COLUMNS, chosen))


def last_sighting(connection: sqlite3.Connection, month: int, entry: int, party: int | None = None) -> int | None:
    """When an entry last matched in a month (ms), or None if it did not; one seek."""
    chosen = {"month": month, "entry": entry, "party": party}
    found = connection.execute(_LAST, chosen).fetchone()[0]
    return None if found is None else int(found)


def first_at_party(connection: sqlite3.Connection, party: int) -> Iterator[tuple[int, int]]:
    """The entries (numbers) that matched at a party, and when they first did (ms)."""
    return connection.execute("SELECT entry, min(first) FROM sightings WHERE party = ? GROUP BY entry", (party,))


_ADD = "INSERT INTO sightings (month, entry, party, first, last, matches)"
_ON_CONFLICT = """
ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
    matches = matches + excluded.matches
"""
_COLUMNS = """
SELECT json_group_array(entry), json_group_array(party), json_group_array(matches) FROM sightings
WHERE month = :month AND entry >= :start AND entry < :end AND (:party IS NULL OR party = :party)
"""
_LAST = """
SELECT max(last) FROM sightings WHERE month = :month AND entry = :entry AND (:party IS NULL OR party = :party)
"""
