"""The process that commits what a worker records, without the worker's interpreter.

Each worker has one, at the other end of a pair of sockets. It ends when the worker closes its end
or dies, after it has committed everything that was sent.

The worker sends lines:

- `h MATCHES JSON`: matches of a request, up to SLICE of them, so that folding a row of the inbox
  does not hold others up. A request with more has several lines.
- `e` or `n`: the end of a request's matches; `n` asks for the entries' numbers.
- `c JSON`: rows to add to the counts.

The worker is sent lines of JSON, `[requests, numbers, trouble, warning]`: how many more requests
have been dealt with, in the order in which they came; the numbers of those that asked for them; why
the ledger cannot be written, if it cannot, in which case those requests are not recorded; and
something to log.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from hashserver.ledger.database import Ledger, LedgerError, LedgerFull
from hashserver.ledger.fold import SLICE, fold_slice
from hashserver.ledger.match_row import entry_of
from hashserver.ledger.tables import inbox
from hashserver.ledger.tables.counts import CountRow, add_counts
from hashserver.ledger.tables.entries import number_entries
from hashserver.ledger.tables.meta import probe

FLUSH_SECONDS = 0.4
"""How often counts are put on disk: half of the time that they may be late."""

_MOST_WAITING = 50_000  # matches in the inbox before they are folded although the worker is busy
_RECEIVE_BYTES = 1 << 16


@dataclass(slots=True)
class _Request:
    """The matches of a request: how many, and as JSON without the brackets."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    numbered: bool = False


class Committer:
    """Commits what comes through a socket until the other end closes it.

    Args:
        ledger: to write.
        connection: to the worker.
    """

    def __init__(self, ledger: Ledger, connection: socket.socket) -> None:
        self._ledger = ledger
        self._connection = connection
        self._rest = b""
        self._request = _Request()
        self._requests: list[_Request] = []
        self._counts: dict[tuple[int, int, str], list[int]] = {}
        self._flushed = self._last_hits = time.monotonic()
        self._trouble: LedgerError | None = None
        self._waiting = inbox.waiting(ledger.connection)

    def run(self) -> None:
        """Say that the ledger is open, and commit until the worker is gone."""
        self._tell(0, [])
        open_ = True
        while open_:
            open_ = self._receive()
            if self._requests:
                self._last_hits = time.monotonic()
                self._commit()
            if not open_ or time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()
            idle = time.monotonic() - self._last_hits >= FLUSH_SECONDS
            if open_ and self._waiting and (idle or self._waiting > _MOST_WAITING):
                self._fold(everything=idle)

    def _receive(self) -> bool:
        """Wait for the worker or the next flush; returns whether there is more to come."""
        timeout = max(0.0, self._flushed + FLUSH_SECONDS - time.monotonic())
        if not self._has_mail(timeout):
            return True
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except ConnectionError:  # the worker was killed with something from us unread
            data = b""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)
        return bool(data)

    def _has_mail(self, seconds: float) -> bool:
        return bool(select.select([self._connection], [], [], seconds)[0])

    def _take(self, line: bytes) -> None:
        kind = line[:1]
        if kind == b"h":
            _, matches, text = line.split(b" ", 2)
            self._request.pieces.append((int(matches), text[1:-1]))
        elif kind == b"c":
            for hour, party, type_, *sums in orjson.loads(line[2:]):
                row = self._counts.setdefault((hour, party, type_), [0, 0, 0, 0])
                row[:] = [one + other for one, other in zip(row, sums, strict=True)]
        else:
            self._request.numbered = kind == b"n"
            self._requests.append(self._request)
            self._request = _Request()

    def _commit(self) -> None:
        requests, self._requests = self._requests, []
        try:
            numbers = self._write(requests)
        except Exception as error:
            self._note(error)
            numbers = []
        else:
            self._note(None)
        self._tell(len(requests), numbers)

    def _write(self, requests: list[_Request]) -> list[list[int]]:
        rows = _inbox_rows(requests)
        numbered = [request for request in requests if request.numbered]
        numbers: list[list[int]] = []
        if len(rows) == 1 and not numbered:
            inbox.put(self._ledger, rows[0])
        else:
            with self._ledger.transaction() as connection:
                inbox.put_all(connection, rows)
                for request in numbered:
                    matches = orjson.loads(b"[%s]" % b",".join(text for _, text in request.pieces))
                    found = number_entries(connection, matches)
                    numbers.append([found[entry_of(row)] for row in matches])
        self._waiting += sum(matches for matches, _ in rows)
        return numbers

    def _flush(self) -> None:
        """Write the counts; if that fails they are kept for the next time."""
        self._flushed = time.monotonic()
        before = self._trouble
        if not self._counts and before is None:
            return
        try:
            with self._ledger.transaction() as connection:
                if before:  # find out whether the trouble is over, even with nothing to write
                    probe(connection)
                add_counts(connection, [_count_row(key, sums) for key, sums in self._counts.items()])
        except Exception as error:
            self._note(error)
        else:
            self._counts = {}
            self._note(None)
        if (before is None) != (self._trouble is None):
            self._tell(0, [])

    def _note(self, error: Exception | None) -> None:
        if error is None or isinstance(error, LedgerError):
            self._trouble = error
        else:
            self._trouble = LedgerError(f"the ledger failed: {error!r}")

    def _tell(self, requests: int, numbers: list[list[int]], warning: str | None = None) -> None:
        trouble = None if self._trouble is None else (isinstance(self._trouble, LedgerFull), str(self._trouble))
        with suppress(OSError):  # the worker is gone
            self._connection.sendall(orjson.dumps((requests, numbers, trouble, warning)) + b"\n")

    def _fold(self, *, everything: bool) -> None:
        """Fold a slice, or slices until there is something else to do."""
        if self._trouble:
            return
        try:
            while folded := fold_slice(self._ledger):
                self._waiting = max(1, self._waiting - folded)
                due = time.monotonic() - self._flushed >= FLUSH_SECONDS
                if due or not everything or self._has_mail(0):
                    return
        except Exception as error:  # whatever it is, this process must live: hits wait for it
            self._tell(0, [], f"hits are on disk, but cannot be prepared for reports: {error}")
        self._waiting = 0  # by us or by another worker


def _count_row(key: tuple[int, int, str], sums: list[int]) -> CountRow:
    requests, checked, hits, invalid = sums
    return (*key, requests, checked, hits, invalid)


def _inbox_rows(requests: list[_Request]) -> list[inbox.InboxRow]:
    """All matches of some requests as rows of the inbox, of SLICE matches at most."""
    rows: list[inbox.InboxRow] = []
    count = 0
    texts: list[bytes] = []
    for request in requests:
        for matches, text in request.pieces:
            if count and count + matches > SLICE:
                rows.append((count, (b"[%s]" % b",".join(texts)).decode()))
                count, texts = 0, []
            count += matches
            texts.append(text)
    rows.append((count, (b"[%s]" % b",".join(texts)).decode()))
    return rows


def main(folder: str) -> None:
    """Commit what comes through standard input, a socket, into the ledger of a data folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the worker too; this process ends after it
    connection = socket.socket(fileno=os.dup(0))
    with connection:
        try:
            ledger = Ledger(Path(folder))
        except LedgerError as error:
            connection.sendall(orjson.dumps((0, [], (False, str(error)), None)) + b"\n")
            return
        with ledger:
            Committer(ledger, connection).run()
