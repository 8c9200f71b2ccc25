"""Folding the inbox into the tables that reports read.

What a worker commits is one row of JSON a commit, the least that puts hits on disk. Taking it apart
costs some ten times as much, so it is done when there is nothing else to do, when much has come
together, and before anybody reads. Whoever folds does it slice by slice under the write lock; a
slice is taken apart and deleted from the inbox in one transaction, so nothing is lost or counted
twice whenever it is interrupted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import orjson

from hashserver.ledger.database import Ledger, explain
from hashserver.times import DAY_MS, month_of

SLICE = 500
"""Matches folded at a time: hits that are to be committed wait for some milliseconds at most."""

_ROWS = 64  # a statement: SQLite takes the interpreter's lock again after every one

MatchRow = tuple[int, int, str, int, str, int, int, str, str, str | None, str | None, int]
"""A match in the inbox: time, party, request, generation, type, distance, rank, and of its entry set, key,
external id, category and when it was added; see `hashserver.ledger.schema`."""


def fold(ledger: Ledger) -> int:
    """Fold all that is in the inbox, and return how many matches that were.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    total = 0
    while folded := fold_slice(ledger):
        total += folded
    return total


def waiting(ledger: Ledger) -> int:
    """Matches in the inbox."""
    return waiting_in(ledger.connection)


def waiting_in(connection: sqlite3.Connection) -> int:
    """Matches in the inbox of a connection's ledger."""
    return int(connection.execute("SELECT coalesce(sum(matches), 0) FROM inbox").fetchone()[0])


def fold_slice(ledger: Ledger) -> int:
    """Fold the oldest matches of the inbox, about SLICE of them, and return how many they were.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    try:
        if ledger.connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone() is None:
            return 0
    except sqlite3.Error as error:
        raise explain(error, ledger.folder) from error
    with ledger.transaction() as connection:
        rows: list[MatchRow] = []
        last = None
        for number, hits in connection.execute("SELECT id, hits FROM inbox ORDER BY id"):
            rows.extend(orjson.loads(hits))
            last = number
            if len(rows) >= SLICE:
                break
        if last is None:  # another process was faster
            return 0
        _insert(connection, rows)
        connection.execute("DELETE FROM inbox WHERE id <= ?", (last,))
    return len(rows)


def number_entries(connection: sqlite3.Connection, rows: Iterable[MatchRow]) -> dict[tuple[str, str], int]:
    """The numbers of the entries of some matches, by set and key; those not hit before are given one."""
    found: dict[tuple[str, str], MatchRow] = {}
    first: dict[tuple[str, str], int] = {}  # rows of several workers are not quite in the order of time
    for row in rows:
        key = row[7], row[8]
        found.setdefault(key, row)
        first[key] = min(first.get(key, row[0]), row[0])
    numbers: dict[tuple[str, str], int] = {}
    earlier: list[tuple[int, int]] = []
    for attempt in range(2):
        missing = [key for key in found if key not in numbers]
        if attempt:
            added = [(*key, *found[key][9:12], first[key]) for key in missing]
            _many(connection, _ADD_ENTRIES, added, " ON CONFLICT DO NOTHING")
        for some in _slices(missing, _ROWS):
            marks = ", ".join(["(?, ?)"] * len(some))
            query = f"{_FIND_ENTRIES} WHERE (set_name, key) IN (VALUES {marks})"
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


def _insert(connection: sqlite3.Connection, rows: list[MatchRow]) -> None:
    numbers = number_entries(connection, rows)
    hits = []
    sightings: dict[tuple[int, int, int], list[int]] = {}
    days: dict[tuple[int, int, str, str, str, int], list[int]] = {}
    for time, party, request, generation, kind, distance, rank, set_name, key, _, category, _ in rows:
        entry = numbers[set_name, key]
        hits.append((time, party, request, generation, kind, entry, distance, rank))
        seen = sightings.setdefault((month_of(time), entry, party), [time, time, 0])
        seen[0], seen[1], seen[2] = min(seen[0], time), max(seen[1], time), seen[2] + 1
        day = days.setdefault((time // DAY_MS, party, set_name, category or "", kind, distance), [0, 0])
        day[0] += rank == 0
        day[1] += 1
    _many(connection, _ADD_HITS, hits)
    _many(connection, _ADD_SIGHTINGS, [(*key, *row) for key, row in sorted(sightings.items())], _SUM_SIGHTINGS)
    _many(connection, _ADD_DAYS, [(*key, *row) for key, row in days.items()], _SUM_DAYS)


def _many(connection: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    for some in _slices(rows, _ROWS):
        marks = "(" + ", ".join(["?"] * len(some[0])) + ")"
        connection.execute(
            f"{head} VALUES {', '.join([marks] * len(some))}{tail}", [one for row in some for one in row]
        )


def _slices(rows: Sequence[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some


_ADD_HITS = "INSERT INTO hits (time, party, request, generation, type, entry, distance, rank)"
_FIND_ENTRIES = "SELECT set_name, key, id, first_hit FROM entries"
_ADD_ENTRIES = "INSERT INTO entries (set_name, key, external, category, added, first_hit)"
_ADD_SIGHTINGS = "INSERT INTO sightings (month, entry, party, first, last, matches)"
_SUM_SIGHTINGS = """
ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
    matches = matches + excluded.matches
"""
_ADD_DAYS = "INSERT INTO hit_days (day, party, set_name, category, type, distance, hits, matches)"
_SUM_DAYS = """
ON CONFLICT DO UPDATE SET hits = hits + excluded.hits, matches = matches + excluded.matches
"""
