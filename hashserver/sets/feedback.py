"""What parties say of entries: that a match was a mistake, or that it was right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from hashcore import Store
from hashserver.ledger import Ledger
from hashserver.ledger.tables.feedback import add_feedback, newest_feedback
from hashserver.parties import Party
from hashserver.problems import Problem, malformed, unprocessable
from hashserver.sets.entries import MOST_ID_BYTES
from hashserver.times import now_ms

VERDICTS = ("false-positive", "confirmed")
MOST_NOTE = 2000
_MEMBERS = ("set", "id", "verdict", "note")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A party's word on an entry."""

    set: str
    id: str
    verdict: str
    note: str


def read_feedback(body: bytes | bytearray) -> Feedback:
    """Read `{"set": ..., "id": ..., "verdict": ..., "note": ...}`.

    Raises:
        Problem: 400 when it is not JSON, 422 when a member is not what it has to be.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise unprocessable(f"the body is not an object with the members {', '.join(_MEMBERS)}", pointer="")
    if unknown := [name for name in value if name not in _MEMBERS]:
        words = ", ".join(_MEMBERS)
        raise unprocessable(f"unknown member {unknown[0][:100]!r}; members are {words}", pointer="")
    set_name, id = (_text(value, name, 1, MOST_ID_BYTES) for name in ("set", "id"))
    verdict = value.get("verdict")
    if verdict not in VERDICTS:
        raise unprocessable(f"verdict is one of {', '.join(VERDICTS)}", pointer="/verdict")
    return Feedback(set_name, id, verdict, _text({"note": "", **value}, "note", 0, MOST_NOTE))


def _text(value: dict[str, Any], name: str, least: int, most: int) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise unprocessable(f"{name} is a text of {least} to {most:,} characters", pointer=f"/{name}")
    return text


def record_feedback(store: Store, party: Party, feedback: Feedback) -> int:
    """Put a party's word on disk, and return its number.

    Raises:
        Problem: 404 when the party's sets have no such entry.
        LedgerError: it cannot be written.
    """
    with store.read() as snapshot:
        # What a party is not checked against it is not told of either.
        known = feedback.set in snapshot.manifest.sets and (party.sets is None or feedback.set in party.sets)
        if not known or not snapshot.find(feedback.set, feedback.id):
            detail = f"set {feedback.set!r} has no entry with the id {feedback.id!r}, or has it no longer"
            raise Problem(404, "not-found", "Not found", detail)
    with Ledger(store.folder) as ledger, ledger.transaction() as connection:
        return add_feedback(
            connection,
            time=now_ms(),
            party=party.number,
            set_name=feedback.set,
            id=feedback.id,
            verdict=feedback.verdict,
            note=feedback.note,
        )


def read_all(ledger: Ledger, limit: int) -> list[dict[str, Any]]:
    """The newest words of all parties, newest first; times in Unix milliseconds."""
    return [
        {
            "number": row.number,
            "time": row.time,
            "party": row.party_name,
            "verdict": row.verdict,
            "set": row.set,
            "id": row.id,
            "note": row.note,
        }
        for row in newest_feedback(ledger.connection, limit)
    ]
