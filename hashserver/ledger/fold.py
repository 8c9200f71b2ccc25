"""Folding the inbox into the tables that reports read.

What a worker commits is one row of JSON per commit, the least that puts hits on disk. Taking it
apart costs some ten times as much, so it is done when there is nothing else to do, when much has
piled up, and before anybody reads. Whoever folds does it slice by slice under the write lock; a
slice is taken apart and deleted from the inbox in one transaction, so nothing is lost or counted
twice whenever it is interrupted.
"""

from __future__ import annotations

import sqlite3

import orjson

from hashserver.ledger.database import Ledger, explain
from hashserver.ledger.match_row import MatchRow
from hashserver.ledger.tables import inbox
from hashserver.ledger.tables.entries import number_entries
from hashserver.ledger.tables.hit_days import DayKey, add_days
from hashserver.ledger.tables.matches import StoredMatch, add_matches
from hashserver.ledger.tables.sightings import SightingKey, add_sightings
from hashserver.times import DAY_MS, month_of

SLICE = 500
"""Matches folded at a time: hits that are to be committed wait a few milliseconds at most."""


def fold(ledger: Ledger) -> int:
    """Fold all that is in the inbox, and return how many matches that were.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    total = 0
    while folded := fold_slice(ledger):
        total += folded
    return total


def fold_slice(ledger: Ledger) -> int:
    """Fold the oldest matches of the inbox, about SLICE of them, and return how many they were.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    try:
        if inbox.is_empty(ledger.connection):
            return 0
    except sqlite3.Error as error:
        raise explain(error, ledger.folder) from error
    with ledger.transaction() as connection:
        rows: list[MatchRow] = []
        last = None
        for number, _, matches in inbox.oldest(connection):
            rows.extend(orjson.loads(matches))
            last = number
            if len(rows) >= SLICE:
                break
        if last is None:  # another process was faster
            return 0
        _insert(connection, rows)
        inbox.delete_up_to(connection, last)
    return len(rows)


def _insert(connection: sqlite3.Connection, rows: list[MatchRow]) -> None:
    numbers = number_entries(connection, rows)
    matches: list[StoredMatch] = []
    sightings: dict[SightingKey, list[int]] = {}
    days: dict[DayKey, list[int]] = {}
    for time, party, request, generation, hash_type, distance, rank, set_name, key, _, category, _ in rows:
        entry = numbers[set_name, key]
        matches.append((time, party, request, generation, hash_type, entry, distance, rank))
        seen = sightings.setdefault((month_of(time), entry, party), [time, time, 0])
        seen[0], seen[1], seen[2] = min(seen[0], time), max(seen[1], time), seen[2] + 1
        day = days.setdefault((time // DAY_MS, party, set_name, category or "", hash_type, distance), [0, 0])
        day[0] += rank == 0
        day[1] += 1
    add_matches(connection, matches)
    add_sightings(connection, sightings)
    add_days(connection, days)
