"""The audit log: who changed what, when, and what it was before and after."""

from __future__ import annotations

import getpass
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from hashserver.times import now_ms

if TYPE_CHECKING:
    from hashserver.ledger.database import Ledger


def shell_user() -> str:
    """Who types commands on this machine, as the audit log names them."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):
        return "a user without a name"


def write_audit(
    connection: sqlite3.Connection, *, who: str, action: str, subject: str, before: Any = None, after: Any = None
) -> None:
    """Add a line, in the transaction of what it tells of.

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


def read_audit(ledger: Ledger, limit: int = 1000) -> list[AuditLine]:
    """The newest lines of the audit log, newest first."""
    rows = ledger.connection.execute(
        "SELECT id, time, who, action, subject, before, after FROM audit ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [
        AuditLine(number, time, who, action, subject, _value(before), _value(after))
        for number, time, who, action, subject, before, after in rows
    ]


def _value(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
