"""Group commit: what requests have to record is written together, and each waits until it is on disk.

A worker has one writer. While it commits, the requests that come in queue up for the next commit; so the
cost of synchronising with the disk is shared by all that wait for it, and a lone request waits for one.

Hits are one statement a commit: whatever takes the interpreter's lock more often than that holds up the event
loop, which runs in the same process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from hashserver.ledger.audit import now_ms
from hashserver.ledger.database import Ledger, LedgerError
from hashserver.ledger.fold import SLICE, MatchRow, fold_slice, number_entries, waiting

log = logging.getLogger("hashserver")

HOUR_MS = 3_600_000
_FLUSH_SECONDS = 0.4
_GATHER_SECONDS = (0.00015, 0.00015)  # about a request, so that those under way share a commit
_MOST_WAITING = 50_000  # matches in the inbox before they are folded in spite of a busy worker


@dataclass(slots=True)
class Tally:
    """What one request adds to the counts of a hash type."""

    checked: int = 0
    hits: int = 0
    invalid: int = 0


@dataclass(slots=True)
class _Ticket:
    """The matches of one request, and who waits for them to be on disk."""

    rows: Sequence[MatchRow]
    pieces: list[tuple[int, bytes]]  # up to SLICE matches each: how many, and as JSON without the brackets
    numbered: bool
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[int]]
    numbers: list[int]


_Counts = dict[tuple[int, int, str], list[int]]


class LedgerWriter:
    """Writes hits and counts of one worker.

    Args:
        folder: the data folder.

    Attributes:
        coming: requests that are being matched; if they match they will have something to record.
    """

    def __init__(self, folder: Path) -> None:
        self.coming = 0
        self._ledger = Ledger(folder)
        self._tickets: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._counts: _Counts = {}
        self._counting = threading.Lock()
        self._closing = False
        self._flushed = self._last_hits = time.monotonic()
        self._trouble: LedgerError | None = None
        self._waiting = waiting(self._ledger)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> LedgerError | None:
        """Why the ledger cannot be written at the moment, or None."""
        return self._trouble

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        self._closing = True
        self._tickets.put(None)
        self._thread.join()
        self._ledger.close()

    def count(self, party: int, tallies: dict[str, Tally]) -> None:
        """Add to the counts; they are on disk within a second."""
        self._add(now_ms() // HOUR_MS, party, tallies, 1)

    async def record(
        self, party: int, rows: Sequence[MatchRow], tallies: dict[str, Tally], *, numbered: bool = False
    ) -> list[int]:
        """Put the matches of a request on disk, and add to the counts.

        Args:
            party: whose request it is.
            rows: its matches, at least one.
            tallies: by hash type.
            numbered: return the entries' numbers.

        Returns:
            The ledger's number of the entry of every row, which an entry keeps; empty unless asked for.

        Raises:
            LedgerError: they could not be written, and nothing is counted.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[int]] = loop.create_future()
        pieces = [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]
        written = [(len(piece), orjson.dumps(piece)[1:-1]) for piece in pieces]
        ticket = _Ticket(rows, written, numbered, loop, done, [])
        if self._closing:
            raise LedgerError("the server is ending, and its ledger is closed")
        hour = now_ms() // HOUR_MS
        self._tickets.put(ticket)
        numbers = await done
        self._add(hour, party, tallies, 1)
        return numbers

    def _add(self, hour: int, party: int, tallies: dict[str, Tally], requests: int) -> None:
        with self._counting:
            for kind, tally in tallies.items():
                row = self._counts.get((hour, party, kind))
                if row is None:
                    row = self._counts[hour, party, kind] = [0, 0, 0, 0]
                row[0] += requests
                row[1] += tally.checked
                row[2] += tally.hits
                row[3] += tally.invalid

    def _run(self) -> None:
        _yield_to_requests()
        closing = False
        while not closing:
            tickets, closing = self._take()
            if tickets:
                self._last_hits = time.monotonic()
                self._commit(tickets)
            if closing or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
                self._flush()
            idle = time.monotonic() - self._last_hits >= _FLUSH_SECONDS
            if not closing and self._waiting and (idle or self._waiting > _MOST_WAITING):
                self._fold(everything=idle)

    def _take(self) -> tuple[list[_Ticket], bool]:
        """Those who wait, once there is somebody or it is time to flush; and whether the writer is to end."""
        tickets: list[_Ticket] = []
        timeout = max(0.0, self._flushed + _FLUSH_SECONDS - time.monotonic())
        try:
            ticket = self._tickets.get(timeout=timeout)
            for seconds in _GATHER_SECONDS:
                if not self.coming:
                    break
                time.sleep(seconds)
            while ticket is not None:
                tickets.append(ticket)
                ticket = self._tickets.get_nowait()
        except queue.Empty:
            return tickets, False
        return tickets, True

    def _commit(self, tickets: list[_Ticket]) -> None:
        try:
            self._write(tickets)
        except Exception as error:
            self._note(error)
            _resolve(tickets, self._trouble)
        else:
            self._note(None)
            _resolve(tickets, None)

    def _write(self, tickets: list[_Ticket]) -> None:
        inbox = list(_inbox_rows(tickets))
        numbered = [ticket for ticket in tickets if ticket.numbered]
        if len(inbox) == 1 and not numbered:
            self._ledger.execute(_ADD_TO_INBOX, inbox[0])
        else:
            with self._ledger.transaction() as connection:
                connection.executemany(_ADD_TO_INBOX, inbox)
                for ticket in numbered:
                    numbers = number_entries(connection, ticket.rows)
                    ticket.numbers = [numbers[row[7], row[8]] for row in ticket.rows]
        self._waiting += sum(matches for matches, _ in inbox)

    def _flush(self) -> None:
        """Write the counts; where that fails they are kept, and are late."""
        self._flushed = time.monotonic()
        with self._counting:
            counts, self._counts = self._counts, {}
        if not counts and self._trouble is None:
            return
        try:
            with self._ledger.transaction() as connection:
                if self._trouble:  # find out whether it is over, even if there is nothing to write
                    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'probe'")
                connection.executemany(_ADD_COUNTS, [(*key, *row) for key, row in counts.items()])
        except Exception as error:
            self._note(error)
            with self._counting:
                for key, row in counts.items():
                    before = self._counts.setdefault(key, [0, 0, 0, 0])
                    before[:] = [one + other for one, other in zip(before, row, strict=True)]
        else:
            self._note(None)

    def _note(self, error: Exception | None) -> None:
        """Remember whether the ledger can be written, and tell when that changes."""
        if error is None:
            if self._trouble is not None:
                log.info("the ledger can be written again")
            self._trouble = None
            return
        trouble = error if isinstance(error, LedgerError) else LedgerError(f"the ledger failed: {error!r}")
        if self._trouble is None:
            log.error("%s", trouble)
        self._trouble = trouble

    def _fold(self, *, everything: bool) -> None:
        """Fold a slice, or slices until there is something else to do."""
        if self._trouble:
            return
        try:
            while folded := fold_slice(self._ledger):
                self._waiting = max(1, self._waiting - folded)
                due = time.monotonic() - self._flushed >= _FLUSH_SECONDS
                if due or not everything or not self._tickets.empty():
                    return
        except Exception as error:  # whatever it is, this thread must live: hits wait for it
            log.warning("hits are on disk, but cannot be prepared for reports: %s", error)
        self._waiting = 0  # by us or by another worker


def _yield_to_requests() -> None:
    """Let this thread, when it wakes up, wait for a processor rather than take the event loop's."""
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))


def _inbox_rows(tickets: list[_Ticket]) -> Iterator[tuple[int, str]]:
    """All matches of some requests as rows of the inbox, small enough that folding one does not hold others up."""
    count = 0
    texts: list[bytes] = []
    for ticket in tickets:
        for matches, text in ticket.pieces:
            if count and count + matches > SLICE:
                yield count, (b"[%s]" % b",".join(texts)).decode()
                count, texts = 0, []
            count += matches
            texts.append(text)
    yield count, (b"[%s]" % b",".join(texts)).decode()


_ADD_TO_INBOX = "INSERT INTO inbox (matches, hits) VALUES (?, ?)"
_ADD_COUNTS = """
INSERT INTO counts (hour, party, type, requests, checked, hits, invalid) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, checked = checked + excluded.checked,
    hits = hits + excluded.hits, invalid = invalid + excluded.invalid
"""


def _resolve(tickets: list[_Ticket], error: LedgerError | None) -> None:
    """Wake those who wait; one call into the loop for all of them."""
    if tickets:
        try:
            tickets[0].loop.call_soon_threadsafe(_wake, tickets, error)
        except RuntimeError:  # the loop has ended, and nobody waits any more
            return


def _wake(tickets: list[_Ticket], error: LedgerError | None) -> None:
    for ticket in tickets:
        if ticket.done.done():
            continue
        if error is None:
            ticket.done.set_result(ticket.numbers)
        else:
            ticket.done.set_exception(error)
