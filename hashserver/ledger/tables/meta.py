"""The table `meta`: a few numbers by name."""

from __future__ import annotations

import sqlite3

PARTIES_VERSION = "parties_version"
"""Counts changes of parties and keys."""
HITS_KEPT_SINCE = "hits_kept_since"
"""The time (Unix milliseconds) before which matches may have been deleted."""
_PROBE = "probe"


def read_number(connection: sqlite3.Connection, name: str) -> int | None:
    """A number, or None if it was never set."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def count_up(connection: sqlite3.Connection, name: str) -> None:
    """Add 1 to a number that exists."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = ?", (name,))


def raise_to(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set a number, unless it is larger."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        (name, value),
    )


def probe(connection: sqlite3.Connection) -> None:
    """Write something, to find out whether writing works."""
    count_up(connection, _PROBE)
