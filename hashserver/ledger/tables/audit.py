"""The table `audit`: who changed what, when, and what it was before and after. Rows only come."""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from hashserver.times import now_ms


def shell_user() -> str:
    """Who types commands on this machine, as the audit log names them."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):
        return "a user without a name"


def write_audit(
    connection: sqlite3.Connection, *, who: str, action: str, subject: str, before: Any = None, after: Any = None
) -> None:
    """Add a line, in the transaction of the change that it tells of.

    Args:
        connection: in a transaction.
        who: `user NAME` of a shell, or `party NAME`.
        action: such as `party add`, in the words of the command line.
        subject: what was changed.
        before, after: what it was and is, as JSON can hold it; never keys or hash values.
    """
    connection.execute(
        "INSERT INTO audit (time, who, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        (now_ms(), who, action, subject, _text(before), _text(after)),
    )


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line of the audit log; see `write_audit`.

    Args:
        number: ascending.
        time: Unix milliseconds.
    """

    number: int
    time: int
    who: str
    action: str
    subject: str
    before: Any
    after: Any


def newest_lines(connection: sqlite3.Connection, limit: int = 1000) -> list[AuditLine]:
    """The newest lines, newest first."""
    return list(_lines(connection, "ORDER BY id DESC LIMIT ?", limit))


def lines_since(connection: sqlite3.Connection, time: int, *actions: str) -> list[AuditLine]:
    """The lines since a time (Unix milliseconds) that say what became of it, oldest first.

    Args:
        connection: to a ledger.
        time: the first to look at.
        actions: only these, if any are named.
    """
    chosen = "WHERE time >= ? AND after IS NOT NULL"
    if actions:
        chosen += f" AND action IN ({', '.join('?' * len(actions))})"
    return list(_lines(connection, f"{chosen} ORDER BY time", time, *actions))


def newest_publication(connection: sqlite3.Connection) -> AuditLine | None:
    """The newest line that names a generation, or None."""
    published = "WHERE json_type(after, '$.generation') = 'integer' ORDER BY id DESC LIMIT 1"
    return next(_lines(connection, published), None)


def newest_of(connection: sqlite3.Connection, *actions: str) -> AuditLine | None:
    """The newest line of some actions, or None."""
    chosen = f"WHERE action IN ({', '.join('?' * len(actions))}) ORDER BY id DESC LIMIT 1"
    return next(_lines(connection, chosen, *actions), None)


def newest_times(connection: sqlite3.Connection, limit: int = 1000) -> list[int]:
    """When the newest lines were written, Unix milliseconds, newest line first."""
    rows = connection.execute("SELECT time FROM audit ORDER BY id DESC LIMIT ?", (limit,))
    return [time for (time,) in rows]


def _lines(connection: sqlite3.Connection, chosen: str, *values: object) -> Iterator[AuditLine]:
    rows = connection.execute(f"{_AUDIT} {chosen}", values)
    for number, time, who, action, subject, before, after in rows:
        yield AuditLine(number, time, who, action, subject, _value(before), _value(after))


def _value(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


_AUDIT = "SELECT id, time, who, action, subject, before, after FROM audit"
