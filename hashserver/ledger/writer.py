"""Group commit: what requests have to record is written together, and each waits until it is on disk.

A worker has one writer. While it commits, the requests that come in queue up for the next commit; so the
cost of synchronising with the disk is shared by all that wait for it, and a lone request waits for one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from hashserver.ledger.audit import now_ms
from hashserver.ledger.database import Ledger, LedgerError
from hashserver.ledger.fold import SLICE, MatchRow, fold_slice, number_entries, waiting

log = logging.getLogger("hashserver")

HOUR_MS = 3_600_000
_FLUSH_SECONDS = 0.4
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
    """

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._changed = threading.Condition(threading.Lock())
        self._tickets: list[_Ticket] = []
        self._counts: _Counts = {}
        self._flush_at = self._last_hits = 0.0  # of the monotonic clock: the other one may be set back
        self._closing = False
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
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._ledger.close()

    def count(self, party: int, tallies: dict[str, Tally]) -> None:
        """Add to the counts; they are on disk within a second."""
        with self._changed:
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
        pieces = [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]
        written = [(len(piece), orjson.dumps(piece)[1:-1]) for piece in pieces]
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[int]] = loop.create_future()
        ticket = _Ticket(rows, written, numbered, loop, done, [])
        hour = now_ms() // HOUR_MS
        with self._changed:
            if self._closing:
                raise LedgerError("the server is ending, and its ledger is closed")
            self._add(hour, party, tallies, 1)
            self._tickets.append(ticket)
            self._changed.notify()
        try:
            return await done
        except LedgerError:
            with self._changed:
                self._add(hour, party, tallies, -1)
            raise

    def _add(self, hour: int, party: int, tallies: dict[str, Tally], sign: int) -> None:
        for kind, tally in tallies.items():
            row = self._counts.get((hour, party, kind))
            if row is None:
                row = self._counts[hour, party, kind] = [0, 0, 0, 0]
            row[0] += sign
            row[1] += sign * tally.checked
            row[2] += sign * tally.hits
            row[3] += sign * tally.invalid

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._tickets and not self._closing:
                    self._changed.wait(max(0.0, self._flush_at - time.monotonic()))
                closing = self._closing
                tickets, self._tickets = self._tickets, []
                counts: _Counts = {}
                due = closing or time.monotonic() >= self._flush_at
                if due:
                    counts, self._counts = self._counts, {}
                    self._flush_at = time.monotonic() + _FLUSH_SECONDS
            if tickets:
                self._last_hits = time.monotonic()
            if tickets or counts or (due and self._trouble):
                self._commit(tickets, counts)
            if closing:
                return
            idle = due and time.monotonic() - self._last_hits >= _FLUSH_SECONDS
            if self._waiting and (idle or self._waiting > _MOST_WAITING) and not self._trouble:
                self._fold(everything=idle)

    def _commit(self, tickets: list[_Ticket], counts: _Counts) -> None:
        try:
            with self._ledger.transaction() as connection:
                if self._trouble:  # find out whether it is over, even if there is nothing to write
                    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'probe'")
                rows = [(*key, *row) for key, row in counts.items() if any(row)]
                if rows:
                    connection.executemany(_ADD_COUNTS, rows)
                self._write(tickets)
        except Exception as error:
            trouble = error if isinstance(error, LedgerError) else LedgerError(f"the ledger failed: {error!r}")
            if self._trouble is None:
                log.error("%s", trouble)
            self._trouble = trouble
            with self._changed:  # counts are not lost, only late
                for key, row in counts.items():
                    before = self._counts.setdefault(key, [0, 0, 0, 0])
                    for place, value in enumerate(row):
                        before[place] += value
            _resolve(tickets, trouble)
            return
        if self._trouble is not None:
            log.info("the ledger can be written again")
            self._trouble = None
        _resolve(tickets, None)

    def _write(self, tickets: list[_Ticket]) -> None:
        if not tickets:
            return
        connection = self._ledger.connection
        for count, text in _inbox_rows(tickets):
            connection.execute("INSERT INTO inbox (matches, hits) VALUES (?, ?)", (count, text))
            self._waiting += count
        for ticket in tickets:
            if ticket.numbered:
                numbers = number_entries(connection, ticket.rows)
                ticket.numbers = [numbers[row[7], row[8]] for row in ticket.rows]

    def _fold(self, *, everything: bool) -> None:
        """Fold a slice, or slices until there is something else to do."""
        try:
            while folded := fold_slice(self._ledger):
                self._waiting = max(1, self._waiting - folded)
                busy = self._tickets or self._closing or time.monotonic() >= self._flush_at
                if busy or not everything:
                    return
        except Exception as error:  # whatever it is, this thread must live: hits wait for it
            log.warning("hits are on disk, but cannot be prepared for reports: %s", error)
        self._waiting = 0  # by us or by another worker


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
