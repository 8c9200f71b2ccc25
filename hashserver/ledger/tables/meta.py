"""The table `meta`: a few numbers by name."""

from __future__ import annotations

import sqlite3

PARTIES_VERSION = "parties_version"
"""Counts changes of parties and keys."""
HITS_KEPT_SINCE = "hits_kept_since"
"""The time (Unix milliseconds) before which matches may have been deleted."""
PUBLISHING = "publishing"
"""1 once somebody has begun to publish the first generation."""
CLOSED = "closed"
"""1 in a ledger that stands for a lost one: without parties, nobody is answered."""
SECRET_MARK = "secret_mark"  # noqa: S105 - a name
"""Tells the secret that the keys were made with from another; see `hashserver.parties.keys`."""
CLOCK_SEEN = "clock_seen"
"""The last time (Unix milliseconds) at which retention found the clock to be right."""
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


def set_number(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set a number, whatever it was."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, value),
    )


def probe(connection: sqlite3.Connection) -> None:
    """Write something, to find out whether writing works."""
    count_up(connection, _PROBE)
