"""Bringing a ledger that an earlier program wrote to the tables of this one, in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hashserver.ledger.schema import VERSION

STEPS: dict[int, Iterable[str]] = {
    1: (
        "ALTER TABLE hits RENAME TO matches",
        "ALTER TABLE entries RENAME COLUMN external TO external_id",
        "ALTER TABLE feedback RENAME COLUMN external TO external_id",
    ),
}
"""By version, the statements that make the next one of it. What was released never changes."""

_VIEWS: dict[int, Iterable[str]] = {
    1: ("CREATE TEMP VIEW matches AS SELECT * FROM main.hits",),
}
"""By version, what lets `hashserver.ledger.verify` read it as if it were the next one."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a ledger's tables; 0 for a file without any."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a ledger of an earlier version to VERSION, in one transaction; no row is copied.

    Args:
        connection: not in a transaction; nobody else may make or migrate the tables meanwhile.
    """
    connection.execute("BEGIN IMMEDIATE")
    for version in range(version_of(connection), VERSION):
        for statement in STEPS[version]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def view_as_newest(connection: sqlite3.Connection) -> None:
    """Let a connection read an earlier version as VERSION, for as long as it is open.

    The file stays as it is, and may be read-only.
    """
    for version in range(version_of(connection), VERSION):
        for statement in _VIEWS[version]:
            connection.execute(statement)
