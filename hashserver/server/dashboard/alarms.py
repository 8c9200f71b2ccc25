"""What needs attention, each in a sentence that says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hashcore.disk.layout import Manifest
from hashserver.ledger.tables.audit import lines_since
from hashserver.ledger.tables.feedback import false_positives_since
from hashserver.parties import Party
from hashserver.server.dashboard.figures import PartyRow, as_time
from hashserver.times import DAY_MS, DAY_SECONDS

QUIET_DAYS = 7
"""Days without a check by a party, or without a change of any set, before there is an alarm."""
BACKLOG = 100_000
SHRANK, GREW = 0.2, 1.0
"""Shares of a set that its last change may remove or add before there is an alarm."""
_LEAST_ENTRIES = 100
_RECENT_DAYS = 14
_FEEDBACK_DAYS = 90
_FREE_PART, _FREE_BYTES = 0.05, 1 << 30
_SETTLING = ("sets withdraw", "sets quarantine", "entries withdraw")


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that needs attention.

    Args:
        is_trouble: whether something does not work, or soon will not.
        title: what is wrong.
        detail: more about it, and what to do.
    """

    is_trouble: bool
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """Feedback that a match was a false positive, on which nobody has acted."""

    party: str
    set: str
    id: str


def alarms_of_owner(
    *,
    trouble: str | None,
    backlog: int,
    manifest: Manifest,
    parties: Iterable[PartyRow],
    complaints: list[Complaint],
    folder: Path,
    now_ms: int,
) -> list[Alarm]:
    """What the owner should know, troubles first.

    Args:
        trouble: why the ledger cannot be written, or None.
        backlog: matches that are not folded yet.
        manifest: of the generation that is served.
        parties: all of them.
        complaints: see `read_complaints`.
        folder: the data folder.
        now_ms: Unix milliseconds.
    """
    found = [
        *_of_ledger(trouble, backlog),
        *_of_disk(folder),
        *_of_sets(manifest, now_ms),
        *_of_complaints(complaints),
        *_of_parties(parties, now_ms),
    ]
    return sorted(found, key=lambda alarm: not alarm.is_trouble)


def alarms_of_party(party: Party, row: PartyRow | None, expires: float | None, now_ms: int) -> list[Alarm]:
    """What a party should know about itself.

    Args:
        party: the one that looks.
        row: its use, if it is known.
        expires: when the key that it signed in with expires (Unix seconds), or None.
        now_ms: Unix milliseconds.
    """
    found = []
    if row is not None:
        if row.daily_quota and row.today >= 0.9 * row.daily_quota:
            detail = f"{row.today:,} of {row.daily_quota:,} hashes are used; the next day starts at 00:00 UTC."
            found.append(Alarm(row.today >= row.daily_quota, "The daily quota is almost used up", detail))
        found += [alarm for alarm in _of_parties([row], now_ms) if "check" in row.permissions]
    if expires is not None:
        detail = f"It is valid until {as_time(expires * 1000)} UTC; switch your tools to the new key before then."
        found.append(Alarm(False, "The key that you signed in with expires soon", detail))
    return found


def read_complaints(connection: sqlite3.Connection, now_ms: int) -> list[Complaint]:
    """Feedback of false positives whose entries were neither withdrawn nor quarantined since."""
    since = now_ms - _FEEDBACK_DAYS * DAY_MS
    found = false_positives_since(connection, since)
    if not found:
        return []
    settled: dict[tuple[str, str], int] = {}
    for line in lines_since(connection, since, *_SETTLING):
        for id in line.after.get("ids", ()):
            settled[line.after.get("of", line.subject), id] = line.time
    return [
        Complaint(one.party_name or f"party {one.party}", one.set, one.id)
        for one in found
        if settled.get((one.set, one.id), -1) < one.time
    ]


def _of_ledger(trouble: str | None, backlog: int) -> Iterator[Alarm]:
    if trouble is not None:
        yield Alarm(True, "Checks that match are being refused", f"The ledger cannot be written: {trouble}.")
    if backlog > BACKLOG:
        detail = (
            f"{backlog:,} matches are on disk but not yet in the figures; they follow when there is less to do."
        )
        yield Alarm(False, "The figures are behind", detail)


def _of_disk(folder: Path) -> Iterator[Alarm]:
    disk = shutil.disk_usage(folder)
    if disk.free < max(_FREE_BYTES, _FREE_PART * disk.total):
        detail = (
            f"{disk.free / 1e9:,.1f} GB of {disk.total / 1e9:,.0f} GB are left on the data folder's disk; make "
            "room: without any, hits cannot be recorded and sets cannot be loaded."
        )
        yield Alarm(True, "The disk is almost full", detail)


def _of_sets(manifest: Manifest, now_ms: int) -> Iterator[Alarm]:
    if not any(each.role == "match" and each.entries for each in manifest.sets.values()):
        yield Alarm(
            True, "Nothing can match", "No match set has entries; load one with: hashserver load FILE --set NAME"
        )
        return
    days = (now_ms / 1000 - max(each.loaded for each in manifest.sets.values())) / DAY_SECONDS
    if days >= QUIET_DAYS:
        detail = "Is the job that loads them still running?"
        yield Alarm(False, f"No set has changed for {days:,.0f} days", detail)
    for each in manifest.sets.values():
        before = each.entries - each.added + each.removed
        if before < _LEAST_ENTRIES or now_ms / 1000 - each.loaded > _RECENT_DAYS * DAY_SECONDS:
            continue
        change = (each.entries - before) / before
        if change <= -SHRANK or change >= GREW:
            word = "shrank" if change < 0 else "grew"
            detail = (
                f"From {before:,} to {each.entries:,} entries at {as_time(each.loaded * 1000)} UTC. "
                "If that was a mistake: hashserver sets history, then hashserver sets rollback --to GENERATION"
            )
            yield Alarm(change < 0, f"Set {each.name} {word} by {abs(change):.0%}", detail)


def _of_complaints(complaints: list[Complaint]) -> Iterator[Alarm]:
    if complaints:
        first = "; ".join(f"{one.id} of set {one.set}, says {one.party}" for one in complaints[:3])
        more = f"; and {len(complaints) - 3:,} more" if len(complaints) > 3 else ""
        title = f"{len(complaints):,} {'match is' if len(complaints) == 1 else 'matches are'} reported as false"
        detail = f"{first}{more}. Review each, then: hashserver sets withdraw SET ID, or sets quarantine SET ID"
        yield Alarm(False, title, detail)


def _of_parties(parties: Iterable[PartyRow], now_ms: int) -> Iterator[Alarm]:
    for row in parties:
        since = row.created if row.last_seen is None else row.last_seen
        days = (now_ms - since) / DAY_MS
        if not row.disabled and "check" in row.permissions and days >= QUIET_DAYS:
            ever = "since it was added" if row.last_seen is None else "since its last check"
            yield Alarm(
                False,
                f"{row.name} has checked nothing for {days:,.0f} days",
                f"That is {ever}; is its job still running?",
            )
