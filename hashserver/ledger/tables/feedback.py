"""The table `feedback`: what parties say of entries."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class FeedbackRecord(NamedTuple):
    """A party's word on an entry.

    Args:
        number: ascending.
        time: Unix milliseconds.
        party: its number.
        party_name: None for those who asked while no party was configured.
        verdict: false-positive or confirmed.
        set, id: of the entry.
        note: the party's own words.
    """

    number: int
    time: int
    party: int
    party_name: str | None
    verdict: str
    set: str
    id: str
    note: str


def add_feedback(
    connection: sqlite3.Connection, *, time: int, party: int, set_name: str, id: str, verdict: str, note: str
) -> int:
    """Add a party's word, and return its number; see `FeedbackRecord`."""
    cursor = connection.execute(
        "INSERT INTO feedback (time, party, set_name, external_id, verdict, note) VALUES (?, ?, ?, ?, ?, ?)",
        (time, party, set_name, id, verdict, note),
    )
    return int(cursor.lastrowid or 0)


def newest_feedback(connection: sqlite3.Connection, limit: int) -> list[FeedbackRecord]:
    """The newest words of all parties, newest first."""
    rows = connection.execute(f"{_FEEDBACK} ORDER BY feedback.id DESC LIMIT ?", (limit,))
    return list(map(FeedbackRecord._make, rows))


def false_positives_since(connection: sqlite3.Connection, time: int) -> list[FeedbackRecord]:
    """The words since a time (Unix milliseconds) that say false-positive, newest first."""
    rows = connection.execute(
        f"{_FEEDBACK} WHERE time >= ? AND verdict = 'false-positive' ORDER BY time DESC", (time,)
    )
    return list(map(FeedbackRecord._make, rows))


_FEEDBACK = """
SELECT feedback.id, time, party, name, verdict, set_name, external_id, note
FROM feedback LEFT JOIN parties ON parties.id = party
"""
