"""A worker's side of the ledger: it hands matches to its committer; requests wait for the disk.

Group commit: what is recorded while the committer is busy is handed over together when it is done,
so all who wait share the cost of synchronising with the disk, and a lone request waits for one
commit only.

The committer is a process of its own, see `hashserver.ledger.committer`. A thread that commits
takes the interpreter from the event loop some ten times per commit, which holds up requests that
have nothing to record.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson

from hashserver.ledger.committer import FLUSH_SECONDS
from hashserver.ledger.database import LedgerError, LedgerFull
from hashserver.ledger.fold import SLICE
from hashserver.ledger.match_row import MatchRow
from hashserver.processes import command
from hashserver.times import HOUR_MS, now_ms

log = logging.getLogger("hashserver")

_SEND_SECONDS = FLUSH_SECONDS / 2  # how often counts are sent; they are on disk after both times
_RESTART_SECONDS = 1.0


@dataclass(slots=True)
class TypeCounts:
    """What one request adds to the counts of one hash type: numbers of hashes."""

    checked: int = 0
    hits: int = 0
    invalid: int = 0


class LedgerWriter:
    """Writes hits and counts of one worker; made by `start`.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._link: _Link | None = None
        self._unsent: list[bytes] = []
        self._sent = 0  # requests that the committer has and has not dealt with
        self._waiting: deque[tuple[asyncio.Future[list[int]], bool]] = deque()
        self._counts: dict[tuple[int, int, str], list[int]] = {}
        self._trouble: LedgerError | None = None
        self._ending = False
        self._keeping: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path) -> LedgerWriter:
        """Start writing.

        Raises:
            LedgerError: the ledger cannot be opened.
        """
        writer = cls(folder)
        link = await writer._launch()
        writer._keeping = asyncio.create_task(writer._keep(link))
        if (trouble := writer._trouble) is not None:
            await writer.close()
            raise trouble
        return writer

    @property
    def trouble(self) -> LedgerError | None:
        """Why the ledger cannot be written at the moment, or None."""
        return self._trouble

    async def close(self) -> None:
        """Have everything that is left written, and end; a second time does nothing."""
        if self._ending:
            return
        self._ending = True
        self._hand_over()
        if self._keeping is not None:
            await self._keeping

    def _hand_over(self) -> None:
        """Send all that is left; nothing is sent afterwards."""
        self._send()
        self._send_counts()
        link, self._link = self._link, None
        if link is not None:
            link.end()

    def count(self, party: int, tallies: dict[str, TypeCounts]) -> None:
        """Add to the counts; they are on disk within a second."""
        self._add(now_ms() // HOUR_MS, party, tallies)

    async def record(
        self, party: int, rows: Sequence[MatchRow], tallies: dict[str, TypeCounts], *, numbered: bool = False
    ) -> list[int]:
        """Put the matches of a request on disk, and add to the counts.

        Args:
            party: whose request it is.
            rows: its matches, at least one.
            tallies: by hash type.
            numbered: return the entries' numbers.

        Returns:
            For every row, the number of its entry in the ledger, which never changes; empty unless
            asked for.

        Raises:
            LedgerError: they could not be written, and nothing is counted.
        """
        if self._link is None:
            raise self._why_not()
        hour = now_ms() // HOUR_MS
        done: asyncio.Future[list[int]] = self._loop.create_future()
        self._waiting.append((done, numbered))
        self._unsent.append(_lines(rows, b"n" if numbered else b"e"))
        if not self._sent:
            self._send()
        numbers = await done
        self._add(hour, party, tallies)
        return numbers

    def _send(self) -> None:
        """Hand over what has gathered while the committer was busy with what it was sent before."""
        if self._unsent and self._link is not None:
            self._sent = len(self._waiting)
            self._link.send(b"".join(self._unsent))
            self._unsent.clear()

    def _why_not(self) -> LedgerError:
        if self._ending:
            return LedgerError("the server is shutting down, and its ledger is closed")
        return self._trouble or LedgerError("the process that writes the ledger is not running")

    def _add(self, hour: int, party: int, tallies: dict[str, TypeCounts]) -> None:
        for hash_type, tally in tallies.items():
            row = self._counts.get((hour, party, hash_type))
            if row is None:
                row = self._counts[hour, party, hash_type] = [0, 0, 0, 0]
            row[0] += 1
            row[1] += tally.checked
            row[2] += tally.hits
            row[3] += tally.invalid

    def _send_counts(self) -> None:
        if self._counts and self._link is not None:
            rows = [(*key, *row) for key, row in self._counts.items()]
            self._counts = {}
            self._link.send(b"c %s\n" % orjson.dumps(rows))

    async def _launch(self) -> _Link:
        """Start a committer, and wait until it has opened the ledger or said why it cannot."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.to_thread(_start, self._folder, theirs)
        except BaseException:
            ours.close()
            raise
        link = _Link(process, ours, self._take)
        await self._loop.create_unix_connection(lambda: link, sock=ours)
        self._link = link
        await link.spoke
        return link

    async def _keep(self, link: _Link) -> None:
        """Send counts, and replace a committer that is gone, until both sides have ended."""
        while True:
            while not link.gone.done():
                self._send_counts()
                await asyncio.wait((link.gone,), timeout=_SEND_SECONDS)
            self._link = None
            code = await asyncio.to_thread(link.process.wait)
            if not self._ending and (code or self._trouble is None):  # or it has said why
                words = (
                    f"the process that writes the ledger ended unexpectedly (code {code}); it is being restarted"
                )
                self._note(LedgerError(words))
            error = self._why_not()
            while self._waiting:
                _fail(self._waiting.popleft()[0], error)
            self._unsent.clear()
            self._sent = 0
            while link.gone.done():
                if self._ending:
                    return
                await asyncio.sleep(_RESTART_SECONDS)
                with suppress(OSError):  # no process can be made at the moment
                    link = await self._launch()
            if self._ending:  # asked to while there was no committer; this one takes the counts
                self._hand_over()

    def _take(self, line: bytes) -> None:
        """Act on a line that the committer sent."""
        requests, numbers, trouble, warning = orjson.loads(line)
        self._note(None if trouble is None else (LedgerFull if trouble[0] else LedgerError)(trouble[1]))
        if warning:
            log.warning("%s", warning)
        given = iter(numbers)
        for _ in range(requests):
            done, numbered = self._waiting.popleft()
            if self._trouble is not None:
                _fail(done, self._trouble)
                continue
            mine = next(given) if numbered else []
            if not done.done():  # or its request was cancelled
                done.set_result(mine)
        self._sent -= requests
        if requests and not self._sent:
            self._send()

    def _note(self, trouble: LedgerError | None) -> None:
        """Remember whether the ledger can be written, and tell when that changes."""
        if trouble is None and self._trouble is not None:
            log.info("the ledger can be written again")
        if trouble is not None and self._trouble is None:
            log.error("%s", trouble)
        self._trouble = trouble


def _lines(rows: Sequence[MatchRow], end: bytes) -> bytes:
    if len(rows) <= SLICE:
        return b"h %d %s\n%s\n" % (len(rows), orjson.dumps(rows), end)
    pieces = [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]
    lines = [b"h %d %s" % (len(piece), orjson.dumps(piece)) for piece in pieces]
    return b"\n".join([*lines, end, b""])


def _start(folder: Path, theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - ourselves
        command("hashserver.ledger.committer", str(folder)), stdin=theirs.fileno(), stdout=subprocess.DEVNULL
    )


class _Link(asyncio.Protocol):
    """The connection to a committer.

    Args:
        process: the committer.
        connection: our end.
        take: is given each line that it sends.

    Attributes:
        spoke: is done when it has sent the first line, or is gone.
        gone: is done when it has closed its end.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], connection: socket.socket, take: Callable[[bytes], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        self.process = process
        self.spoke: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._take = take
        self._rest = b""

    def send(self, lines: bytes) -> None:
        """Send some lines."""
        if self._transport is None:  # it is gone, which is reported elsewhere
            return
        # Transports write at the end of the loop's turn, in which many others may be answered
        # first.
        if not self._transport.get_write_buffer_size():
            with suppress(OSError):  # the buffer is full, or the committer is gone
                lines = lines[self._connection.send(lines) :]
        if lines:
            self._transport.write(lines)

    def end(self) -> None:
        """Tell the committer that nothing more will come."""
        if self._transport is not None:
            self._transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport: from now on it can be written to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the lines in it; the last one may be incomplete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if not self.spoke.done():
            self.spoke.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Wake up all who wait for the committer; it is gone, for whatever reason."""
        del error
        self._transport = None
        for each in (self.spoke, self.gone):
            if not each.done():
                each.set_result(None)


def _fail(done: asyncio.Future[list[int]], error: LedgerError) -> None:
    if not done.done():  # or its request was cancelled
        done.set_exception(error)
