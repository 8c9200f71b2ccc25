"""The table `inbox`: matches as workers commit them, one row of JSON per commit, until folded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from hashserver.ledger.database import Ledger

InboxRow = tuple[int, str]
"""The number of matches, and the matches as a JSON array of `MatchRow`s."""


def put(ledger: Ledger, row: InboxRow) -> None:
    """Put a row on disk, in a transaction of its own.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    ledger.execute(_ADD, row)


def put_all(connection: sqlite3.Connection, rows: Iterable[InboxRow]) -> None:
    """Add rows."""
    connection.executemany(_ADD, rows)


def waiting(connection: sqlite3.Connection) -> int:
    """How many matches are in the inbox."""
    return int(connection.execute("SELECT coalesce(sum(matches), 0) FROM inbox").fetchone()[0])


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether there is no row; faster than counting."""
    return connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone() is None


def oldest(connection: sqlite3.Connection) -> Iterator[tuple[int, int, str]]:
    """The rows from the oldest on: its number, how many matches it says it has, and the JSON."""
    return connection.execute("SELECT id, matches, hits FROM inbox ORDER BY id")


def delete_up_to(connection: sqlite3.Connection, number: int) -> None:
    """Delete the row of a number and those before it."""
    connection.execute("DELETE FROM inbox WHERE id <= ?", (number,))


_ADD = "INSERT INTO inbox (matches, hits) VALUES (?, ?)"
