"""Verifying a ledger: the file itself, and whether its tables agree with each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from hashserver.ledger.database import FILE, WAYS_OUT
from hashserver.ledger.known_store import KnownStore, known_store
from hashserver.ledger.migrations import version_of, view_as_newest
from hashserver.ledger.schema import VERSION
from hashserver.ledger.tables import inbox
from hashserver.ledger.tables.matches import newest_generation
from hashserver.ledger.tables.meta import HITS_KEPT_SINCE, read_number
from hashserver.times import DAY_MS, month_of, start_of_month

_MOST_LINES = 20
_TABLES = ("parties", "keys", "counts", "entries", "matches", "hit_days", "sightings", "feedback", "audit")


class OfStore(NamedTuple):
    """What a ledger says of its store.

    Args:
        known: what it knows of it.
        hit: the newest generation that a hit was answered from; None without hits.
    """

    known: KnownStore
    hit: int | None


def verify_ledger(
    folder: Path, on_problem: Callable[[str], None], *, copy: bool = False, of_store: list[OfStore] | None = None
) -> dict[str, int]:
    """Go through a ledger, as one read transaction sees it, while it is written.

    Args:
        folder: where it is.
        on_problem: told of each problem in a sentence.
        copy: nobody has it open, and nothing may be left beside it.
        of_store: receives what the ledger says of the store, if it can be read.

    Returns:
        Rows by table; empty where the file cannot be read.
    """
    file = folder / FILE
    options = "mode=ro&immutable=1" if copy else "mode=ro"
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(file))}?{options}", uri=True, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            return _verify(connection, lambda sentence: on_problem(f"{file}: {sentence}"), of_store)
    except sqlite3.Error as error:
        on_problem(f"{file} cannot be read: {error}")
        return {}


def _verify(
    connection: sqlite3.Connection, tell: Callable[[str], None], of_store: list[OfStore] | None
) -> dict[str, int]:
    version = version_of(connection)
    if not version:
        tell(f"it is empty; {WAYS_OUT}")
        return {}
    if not 0 < version <= VERSION:
        tell(f"it has layout {version}, and this program reads layout {VERSION}")
        return {}
    view_as_newest(connection)
    damage = [line for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_LINES})") if line != "ok"]
    for line in damage:
        tell(f"it is damaged: {line}")
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        tell(f"row {row} of {table} refers to a row of {parent} that does not exist")
    if not damage:
        _check_rules(connection, tell)
        _check_sums(connection, tell)
        _check_inbox(connection, tell)
        if of_store is not None:
            known = known_store(connection)
            of_store.append(OfStore(known, newest_generation(connection, known.accepted)))
    return {table: _one(connection, f"SELECT count(*) FROM {table}") for table in _TABLES}  # noqa: S608


def _one(connection: sqlite3.Connection, query: str) -> Any:
    return connection.execute(query).fetchone()[0]


def _check_rules(connection: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    for condition, table, sentence in _RULES:
        wrong = _one(connection, f"SELECT count(*) FROM {table} WHERE {condition}")  # noqa: S608
        if wrong:
            tell(f"{wrong:,} rows of {table} {sentence}")


def _check_sums(connection: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    """Sums agree with the rows, as far back as retention has deleted nothing."""
    since = read_number(connection, HITS_KEPT_SINCE) or 0
    first_day = -(-since // DAY_MS)
    first_month = month_of(since) + 1 if since else 0
    for query, values, what in (
        (_DAYS_THAT_DIFFER, {"day": first_day, "time": first_day * DAY_MS}, "hit_days"),
        (_SIGHTINGS_THAT_DIFFER, {"month": first_month, "time": start_of_month(first_month)}, "sightings"),
    ):
        wrong = connection.execute(query, values).fetchone()[0]
        if wrong:
            tell(f"{wrong:,} sums of {what} do not agree with the rows of matches")


def _check_inbox(connection: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    for number, matches, text in inbox.oldest(connection):
        try:
            found = len(orjson.loads(text))
        except (orjson.JSONDecodeError, TypeError):
            tell(f"row {number} of inbox cannot be read")
            continue
        if found != matches:
            tell(f"row {number} of inbox says that it has {matches:,} matches, and has {found:,}")


_RULES = (
    ("requests < 0 OR checked < 0 OR hits < 0 OR invalid < 0", "counts", "are negative"),
    ("hits < 0 OR matches < 1 OR hits > matches", "hit_days", "have numbers that cannot be"),
    ("matches < 1 OR first > last", "sightings", "have numbers that cannot be"),
    ("distance < 0 OR rank < 0 OR generation < 0", "matches", "have negative numbers"),
    ("entry NOT IN (SELECT id FROM entries)", "matches", "refer to an entry that does not exist"),
    ("entry NOT IN (SELECT id FROM entries)", "sightings", "refer to an entry that does not exist"),
    ("length(digest) != 32", "keys", "are not digests of keys"),
)

# By category they may differ: an entry keeps the one that it had when it was first hit.
_DAYS_THAT_DIFFER = f"""
SELECT count(*) FROM (
    SELECT 1 FROM (
        SELECT time / {DAY_MS} AS day, party, set_name, matches.type, distance,
            sum(rank = 0) AS hits, count(*) AS matches
        FROM matches JOIN entries ON entries.id = matches.entry WHERE time >= :time
        GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        SELECT day, party, set_name, type, distance, -sum(hits), -sum(matches)
        FROM hit_days WHERE day >= :day GROUP BY 1, 2, 3, 4, 5
    ) GROUP BY day, party, set_name, type, distance HAVING sum(hits) != 0 OR sum(matches) != 0
)
"""  # noqa: S608
_SIGHTINGS_THAT_DIFFER = """
SELECT count(*) FROM (
    SELECT 1 FROM (
        SELECT strftime('%Y', time / 1000, 'unixepoch') * 12 + strftime('%m', time / 1000, 'unixepoch')
            - 23641 AS month, entry, party, count(*) AS matches
        FROM matches WHERE time >= :time GROUP BY 1, 2, 3
        UNION ALL
        SELECT month, entry, party, -matches FROM sightings WHERE month >= :month
    ) GROUP BY month, entry, party HAVING sum(matches) != 0
)
"""
