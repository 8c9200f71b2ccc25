"""Statements that take many rows at once: SQLite takes the interpreter's lock again after each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

ROWS = 64
"""Rows per statement."""


def insert_many(
    connection: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = ""
) -> None:
    """Insert rows of one width.

    Args:
        connection: in a transaction.
        head: `INSERT INTO TABLE (COLUMNS)`.
        rows: values for those columns.
        tail: what to do on a conflict.
    """
    for some in slices(rows):
        marks = "(" + ", ".join(["?"] * len(some[0])) + ")"
        connection.execute(
            f"{head} VALUES {', '.join([marks] * len(some))} {tail}", [one for row in some for one in row]
        )


def slices(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """The rows in lists of up to ROWS."""
    iterator = iter(rows)
    while some := list(islice(iterator, ROWS)):
        yield some
