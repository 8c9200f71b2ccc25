"""The table `entries`: the entries that ever matched, one row each, made when they first do.

A row keeps the category that the entry had then. Numbers begin at 1, and an entry keeps its number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from hashserver.ledger.match_row import ADDED, EXTERNAL_ID, TIME, MatchRow, entry_of
from hashserver.ledger.tables.columns import read_columns
from hashserver.ledger.tables.many import insert_many, slices


class EntryRecord(NamedTuple):
    """An entry as it was when it first matched; `added` is in Unix milliseconds."""

    set_name: str
    id: str | None
    category: str | None
    added: int


class EntryColumns(NamedTuple):
    """Columns of n rows; category "" is none, times are Unix milliseconds."""

    numbers: list[int]
    set_names: list[str]
    categories: list[str]
    added: list[int]
    first_hit: list[int]


def number_entries(connection: sqlite3.Connection, rows: Iterable[MatchRow]) -> dict[tuple[str, str], int]:
    """The numbers of the entries of some matches, by set and key; new ones are given one."""
    found: dict[tuple[str, str], MatchRow] = {}
    first: dict[tuple[str, str], int] = {}  # rows of several workers are not quite in the order of time
    for row in rows:
        key = entry_of(row)
        found.setdefault(key, row)
        first[key] = min(first.get(key, row[TIME]), row[TIME])
    numbers: dict[tuple[str, str], int] = {}
    earlier: list[tuple[int, int]] = []
    for attempt in range(2):
        missing = [key for key in found if key not in numbers]
        if attempt:
            added = [(*key, *found[key][EXTERNAL_ID : ADDED + 1], first[key]) for key in missing]
            insert_many(connection, _ADD, added, "ON CONFLICT DO NOTHING")
        for some in slices(missing):
            marks = ", ".join(["(?, ?)"] * len(some))
            query = f"{_FIND} WHERE (set_name, key) IN (VALUES {marks})"
            for set_name, name, number, before in connection.execute(
                query, [one for pair in some for one in pair]
            ):
                numbers[set_name, name] = number
                if first[set_name, name] < before:
                    earlier.append((first[set_name, name], number))
        if len(numbers) == len(found):
            break
    if earlier:
        connection.executemany("UPDATE entries SET first_hit = ? WHERE id = ?", earlier)
    return numbers


def end_of_numbers(connection: sqlite3.Connection) -> int:
    """One more than the largest number of an entry."""
    return int(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM entries").fetchone()[0])


def read_entry(connection: sqlite3.Connection, number: int) -> EntryRecord:
    """The entry of a number, which must exist."""
    return EntryRecord._make(connection.execute(_ENTRY, (number,)).fetchone())


def entries_of(connection: sqlite3.Connection, numbers: range) -> EntryColumns:
    """The entries of some numbers, column by column."""
    return EntryColumns(*read_columns(connection, _COLUMNS, {"start": numbers.start, "end": numbers.stop}))


def keys_hit_before(connection: sqlite3.Connection, numbers: range, time: int) -> tuple[list[str], list[str]]:
    """Sets and keys of the entries of some numbers that first matched before a time (ms)."""
    chosen = {"start": numbers.start, "end": numbers.stop, "before": time}
    set_names, keys = read_columns(connection, _KEYS, chosen)
    return set_names, keys


_FIND = "SELECT set_name, key, id, first_hit FROM entries"
_ADD = "INSERT INTO entries (set_name, key, external_id, category, added, first_hit)"
_ENTRY = "SELECT set_name, external_id, category, added FROM entries WHERE id = ?"
_COLUMNS = """
SELECT
    json_group_array(id), json_group_array(set_name), json_group_array(coalesce(category, '')),
    json_group_array(added), json_group_array(first_hit)
FROM entries WHERE id >= :start AND id < :end
"""
_KEYS = """
SELECT json_group_array(set_name), json_group_array(key) FROM entries
WHERE id >= :start AND id < :end AND first_hit < :before
"""
