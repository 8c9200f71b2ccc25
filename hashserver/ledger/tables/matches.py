"""The table `matches`: one row for each match."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from hashserver.ledger.tables.many import insert_many

StoredMatch = tuple[int, int, str, int, str, int, int, int]
"""Time, party, request, generation, hash type, number of the entry, distance, rank."""


def add_matches(connection: sqlite3.Connection, rows: Sequence[StoredMatch]) -> None:
    """Add matches, in the transaction that also adds them to the sums."""
    insert_many(
        connection, "INSERT INTO matches (time, party, request, generation, type, entry, distance, rank)", rows
    )


def newest_generation(connection: sqlite3.Connection, since: int = 0) -> int | None:
    """The newest generation that a hit since a time (ms) was answered from; None without hits."""
    found = connection.execute("SELECT max(generation) FROM matches WHERE time >= ?", (since,)).fetchone()[0]
    return None if found is None else int(found)


def numbers_before(connection: sqlite3.Connection, time: int) -> range:
    """A range that holds the numbers of all rows before a time (Unix milliseconds).

    It goes through the whole table, which is in the order of folding, not of time.
    """
    first, last = connection.execute("SELECT min(id), max(id) FROM matches WHERE time < ?", (time,)).fetchone()
    return range(0) if first is None else range(first, last + 1)


def delete_before(connection: sqlite3.Connection, time: int, numbers: range) -> int:
    """Delete the rows of some numbers that are before a time, and return how many."""
    statement = "DELETE FROM matches WHERE id >= ? AND id < ? AND time < ?"
    return connection.execute(statement, (numbers.start, numbers.stop, time)).rowcount
