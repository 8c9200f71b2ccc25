"""Retention: matches and counts that are older than the operator wants to keep are deleted.

`hit_days` and `sightings` stay, so what was hit stays counted; `counts` have no such sums, and what
is deleted of them is missing in reports. Deleting goes slice by slice under the write lock, and
hits are recorded in between.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashserver.ledger.database import Ledger
from hashserver.ledger.fold import fold
from hashserver.ledger.tables.audit import write_audit
from hashserver.ledger.tables.counts import delete_counts_before, has_counts_before
from hashserver.ledger.tables.matches import delete_before, numbers_before
from hashserver.ledger.tables.meta import HITS_KEPT_SINCE, raise_to
from hashserver.times import DAY_MS, HOUR_MS, now_ms

SLICE = 2000

_LOCK = "retention.lock"
_PAUSE_SECONDS = 0.002  # between slices, for those who wait for the lock


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows a run has deleted: matches (of old hits), and counts."""

    hits: int = 0
    counts: int = 0


def apply_retention(
    folder: Path, *, keep_hits_days: int | None, keep_counts_days: int | None, now: int | None = None
) -> Deleted:
    """Delete what is older than so many days, unless another process is doing so.

    Args:
        folder: the data folder.
        keep_hits_days, keep_counts_days: None keeps everything.
        now: Unix milliseconds.

    Raises:
        LedgerError: the ledger cannot be written; what was deleted by then stays deleted.
    """
    if keep_hits_days is None and keep_counts_days is None:
        return Deleted()
    now = now_ms() if now is None else now
    with _alone(folder) as alone:
        if not alone:
            return Deleted()
        with Ledger(folder) as ledger:
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
