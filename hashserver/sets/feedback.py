"""Feedback of parties on entries: a match was a mistake, or it was right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from hashcore import Store
from hashserver.ledger import Ledger
from hashserver.ledger.tables.feedback import add_feedback, newest_feedback
from hashserver.parties import Party
from hashserver.sets.entries import MOST_ID_BYTES
from hashserver.sets.errors import BadMember, NotInStore, NotJson
from hashserver.times import now_ms

VERDICTS = ("false-positive", "confirmed")
MOST_NOTE = 2000
_MEMBERS = ("set", "id", "verdict", "note")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A party's verdict on an entry, which is named as a match names it."""

    set: str
    id: str
    verdict: str
    note: str


def read_feedback(body: bytes | bytearray) -> Feedback:
    """Read `{"set": ..., "id": ..., "verdict": ..., "note": ...}`.

    Raises:
        NotJson: it is not JSON.
        BadMember: a member is missing, unknown, or not what it should be.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadMember(f"the body must be an object with the members {', '.join(_MEMBERS)}", pointer="")
    if unknown := [name for name in value if name not in _MEMBERS]:
        words = ", ".join(_MEMBERS)
        raise BadMember(f"unknown member {unknown[0][:100]!r}; members are {words}", pointer="")
    set_name, id = (_text(value, name, 1, MOST_ID_BYTES) for name in ("set", "id"))
    verdict = value.get("verdict")
    if verdict not in VERDICTS:
        raise BadMember(f"verdict must be one of {', '.join(VERDICTS)}", pointer="/verdict")
    return Feedback(set_name, id, verdict, _text({"note": "", **value}, "note", 0, MOST_NOTE))


def _text(value: dict[str, Any], name: str, least: int, most: int) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise BadMember(f"{name} must be a string of {least} to {most:,} characters", pointer=f"/{name}")
    return text


def record_feedback(store: Store, party: Party, feedback: Feedback) -> int:
    """Record a party's feedback durably, and return its number.

    Raises:
        NotInStore: the party's sets have no such entry.
        LedgerError: it cannot be written.
    """
    with store.read() as snapshot:
        # A party learns nothing of sets that its checks do not go against.
        known = feedback.set in snapshot.manifest.sets and (party.sets is None or feedback.set in party.sets)
        if not known or not snapshot.find(feedback.set, feedback.id):
            raise NotInStore(f"set {feedback.set!r} has no entry with the id {feedback.id!r}")
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
    """The newest feedback of all parties, newest first; times in Unix milliseconds."""
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
