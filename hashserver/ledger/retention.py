"""Retention: matches and counts that are older than the operator wants to keep are deleted.

`hit_days` and `sightings` stay, so what was hit stays counted; `counts` have no such sums, and what
is deleted of them is missing in reports. Deleting goes slice by slice under the write lock, and
hits are recorded in between.

A clock that is wrong must not delete everything. What the ledger was written by says what time it
is: nothing is deleted when the clock is more than `DOUBT_DAYS` ahead of the records, of which those
of a day or two do not count, as they may have been written by the same wrong clock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashserver.errors import Trouble
from hashserver.ledger.database import Ledger
from hashserver.ledger.fold import fold
from hashserver.ledger.tables.audit import newest_times, write_audit
from hashserver.ledger.tables.counts import delete_counts_before, has_counts_before, newest_days_of_counts
from hashserver.ledger.tables.hit_days import newest_days_of_hits
from hashserver.ledger.tables.matches import delete_before, numbers_before
from hashserver.ledger.tables.meta import CLOCK_SEEN, HITS_KEPT_SINCE, raise_to, read_number, set_number
from hashserver.times import DAY_MS, HOUR_MS, now_ms, timestamp

SLICE = 2000
DOUBT_DAYS = 7
"""How many days the clock may be ahead of what was recorded."""

_DAYS_OF_RECORDS = 3  # on which something must have been recorded

_LOCK = "retention.lock"
_PAUSE_SECONDS = 0.002  # between slices, for those who wait for the lock


class ClockDoubtful(Trouble):
    """The clock is far ahead of what was recorded, so nothing was deleted; the message says so."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows a run has deleted: matches (of old hits), and counts."""

    hits: int = 0
    counts: int = 0


def apply_retention(
    folder: Path,
    *,
    keep_hits_days: int | None,
    keep_counts_days: int | None,
    now: int | None = None,
    trust_clock: bool = False,
) -> Deleted:
    """Delete what is older than so many days, unless another process is doing so.

    Args:
        folder: the data folder.
        keep_hits_days, keep_counts_days: None keeps everything.
        now: Unix milliseconds.
        trust_clock: the clock is right, whatever was recorded.

    Raises:
        ClockDoubtful: the clock is far ahead of what was recorded.
        LedgerError: the ledger cannot be written; what was deleted by then stays deleted.
    """
    if keep_hits_days is None and keep_counts_days is None:
        return Deleted()
    now = now_ms() if now is None else now
    with _alone(folder) as alone:
        if not alone:
            return Deleted()
        with Ledger(folder) as ledger:
            _judge_clock(ledger, now, trusted=trust_clock)
            # What is deleted must not remain legible in free pages.
            ledger.connection.execute("PRAGMA secure_delete = ON")
            hits_before = None if keep_hits_days is None else now - keep_hits_days * DAY_MS
            hits = 0 if hits_before is None else _delete_hits(ledger, hits_before)
            hour = None if keep_counts_days is None else (now - keep_counts_days * DAY_MS) // HOUR_MS
            counts = 0 if hour is None else _delete_counts(ledger, hour)
            if hits or counts:
                after = {"hits": hits, "counts": counts, "hits_before": hits_before, "counts_before_hour": hour}
                with ledger.transaction() as connection:
                    write_audit(connection, who="retention", action="retention", subject="ledger", after=after)
            return Deleted(hits, counts)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process is deleting."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _judge_clock(ledger: Ledger, now: int, *, trusted: bool) -> None:
    """Refuse a clock that is far ahead; remember one that is not, for when nothing is recorded."""
    with ledger.reading() as connection:
        days = {time // DAY_MS for time in newest_times(connection)}
        days |= {*newest_days_of_counts(connection, _DAYS_OF_RECORDS)}
        days |= {*newest_days_of_hits(connection, _DAYS_OF_RECORDS)}
        seen = read_number(connection, CLOCK_SEEN) or 0
    newest = sorted(days, reverse=True)[:_DAYS_OF_RECORDS]
    if not newest:
        return
    # A younger ledger has nothing much to lose.
    day = newest[-1] if len(newest) == _DAYS_OF_RECORDS else newest[0]
    seen = max(seen, (day + 1) * DAY_MS)
    if now > seen + DOUBT_DAYS * DAY_MS and not trusted:
        raise ClockDoubtful(
            f"nothing was deleted: this machine's clock says {timestamp(now / 1000)}, and the ledger was last in "
            f"use about {timestamp(seen / 1000)}; set the clock, or, if it is right, run hashserver store prune "
            "--trust-clock once"
        )
    with ledger.transaction() as connection:
        (set_number if trusted else raise_to)(connection, CLOCK_SEEN, now)


def _delete_hits(ledger: Ledger, before: int) -> int:
    fold(ledger)
    numbers = numbers_before(ledger.connection, before)  # without the lock, as it takes long
    deleted = 0
    for start in range(0, len(numbers), SLICE):
        with ledger.transaction() as connection:
            raise_to(connection, HITS_KEPT_SINCE, before)
            deleted += delete_before(connection, before, numbers[start : start + SLICE])
        time.sleep(_PAUSE_SECONDS)
    return deleted


def _delete_counts(ledger: Ledger, before_hour: int) -> int:
    deleted = 0
    while has_counts_before(ledger.connection, before_hour):
        with ledger.transaction() as connection:
            deleted += delete_counts_before(connection, before_hour, SLICE)
        time.sleep(_PAUSE_SECONDS)
    return deleted
