"""Rows of the inbox, and a plain model of what they are folded into."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from hashserver.ledger import Ledger
from hashserver.ledger.match_row import MatchRow
from hashserver.ledger.tables.inbox import put_all
from hashserver.times import DAY_MS

NOW = 1_767_225_600_000
"""The first moment of 2026, so that times before and after it are of two days and two months."""


def row(
    request: str = "r",
    *,
    time: int = NOW,
    party: int = 1,
    hash_type: str = "md5",
    distance: int = 0,
    rank: int = 0,
    set_name: str = "police",
    key: str = "id:A-1",
    category: str | None = "baseline",
) -> MatchRow:
    """A match as the service hands it to the ledger."""
    return (
        time,
        party,
        request,
        1,
        hash_type,
        distance,
        rank,
        set_name,
        key,
        key.removeprefix("id:"),
        category,
        5,
    )


def put(ledger: Ledger, commits: list[list[MatchRow]]) -> None:
    """Put rows into the inbox, as so many commits."""
    with ledger.transaction() as connection:
        put_all(connection, [(len(rows), orjson.dumps(rows).decode()) for rows in commits])


def modelled(rows: list[MatchRow]) -> dict[str, Any]:
    """What the tables hold, row by row, entries by set and key instead of numbers."""
    entries: dict[Any, list[Any]] = {}
    sightings: dict[Any, list[int]] = {}
    days: dict[Any, list[int]] = {}
    for time, party, _, _, hash_type, distance, rank, set_name, key, id, category, added in rows:
        entry = entries.setdefault((set_name, key), [id, category, added, time])
        entry[3] = min(entry[3], time)
        when = datetime.fromtimestamp(time // 1000, UTC)
        month = (when.year - 1970) * 12 + when.month - 1
        seen = sightings.setdefault((month, (set_name, key), party), [time, time, 0])
        seen[:] = min(seen[0], time), max(seen[1], time), seen[2] + 1
        day = days.setdefault((time // DAY_MS, party, set_name, category or "", hash_type, distance), [0, 0])
        day[0] += rank == 0
        day[1] += 1
    matches = [(*each[:5], (each[7], each[8]), each[5], each[6]) for each in rows]
    return {"matches": matches, "entries": entries, "sightings": sightings, "hit_days": days}


def tables(folder: Path) -> dict[str, Any]:
    """What the tables do hold."""
    with Ledger(folder, create=True) as ledger:
        connection = ledger.connection
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
        known = connection.execute("SELECT * FROM entries").fetchall()
        names = {each[0]: (each[1], each[2]) for each in known}
        matches = connection.execute("SELECT * FROM matches ORDER BY id").fetchall()
        sightings = connection.execute("SELECT * FROM sightings").fetchall()
        days = connection.execute("SELECT * FROM hit_days").fetchall()
    return {
        "matches": [(*each[1:6], names[each[6]], *each[7:]) for each in matches],
        "entries": {(each[1], each[2]): list(each[3:]) for each in known},
        "sightings": {(each[0], names[each[1]], each[2]): list(each[3:]) for each in sightings},
        "hit_days": {each[:6]: list(each[6:]) for each in days},
    }
