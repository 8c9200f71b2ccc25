"""Group commit: what requests have to record is written together, and each waits until it is on disk.

A worker has one writer. While it commits, the requests that come in queue up for the next commit; so the
cost of synchronising with the disk is shared by all that wait for it, and a lone request waits for one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashserver.ledger.audit import now_ms
from hashserver.ledger.database import Ledger, LedgerError
from hashserver.ledger.months import month_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_FLUSH_SECONDS = 0.4
_RETRY_SECONDS = 0.5
_MOST_KNOWN = 1 << 20


@dataclass(frozen=True, slots=True)
class Sighted:
    """An entry that matched.

    Args:
        set: its set.
        key: what tells it from others of the set, for as long as it lives.
        external: its external id, if it has one.
        category: or None.
        added: when it came into the set, Unix milliseconds.
        distance: from what was asked.
    """

    set: str
    key: str
    external: str | None
    category: str | None
    added: int
    distance: int


@dataclass(slots=True)
class Tally:
    """What one request adds to the counts of a hash type."""

    checked: int = 0
    hits: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A check that matched: its type, and the entries, nearest first."""

    type: str
    sighted: Sequence[Sighted]


@dataclass(slots=True)
class _Ticket:
    """The hits of one request, and who waits for them to be on disk."""

    time: int
    party: int
    request: str
    generation: int
    hits: Sequence[Hit]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[list[int]]]
    numbers: list[list[int]] = field(default_factory=list)


_Counts = dict[tuple[int, int, str], list[int]]


class LedgerWriter:
    """Writes hits and counts of one worker.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._changed = threading.Condition()
        self._tickets: list[_Ticket] = []
        self._counts: _Counts = {}
        self._closing = False
        self._numbers: dict[tuple[str, str], int] = {}
        self._trouble: LedgerError | None = None
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
            self._add(now_ms() // HOUR_MS, party, tallies)

    async def record(
        self, party: int, request: str, generation: int, hits: Sequence[Hit], tallies: dict[str, Tally]
    ) -> list[list[int]]:
        """Put hits on disk, and the counts of their request with them.

        Returns:
            The ledger's number of every entry that was sighted, in the order of `hits`. An entry keeps it.

        Raises:
            LedgerError: they could not be written, and are not counted.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[list[int]]] = loop.create_future()
        time = now_ms()
        ticket = _Ticket(time, party, request, generation, hits, loop, done)
        with self._changed:
            self._add(time // HOUR_MS, party, tallies)
            self._tickets.append(ticket)
            self._changed.notify()
        try:
            return await done
        except LedgerError:
            with self._changed:
                self._take_back(time // HOUR_MS, party, tallies)
            raise

    def _add(self, hour: int, party: int, tallies: dict[str, Tally], sign: int = 1) -> None:
        for kind, tally in tallies.items():
            row = self._counts.get((hour, party, kind))
            if row is None:
                row = self._counts[hour, party, kind] = [0, 0, 0, 0]
            row[0] += sign
            row[1] += sign * tally.checked
            row[2] += sign * tally.hits
            row[3] += sign * tally.invalid

    def _take_back(self, hour: int, party: int, tallies: dict[str, Tally]) -> None:
        self._add(hour, party, tallies, -1)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._tickets and not self._closing:
                    self._changed.wait(_RETRY_SECONDS if self._trouble else _FLUSH_SECONDS)
                closing = self._closing
                tickets, self._tickets = self._tickets, []
                counts, self._counts = self._counts, {}
            if tickets or counts or self._trouble:
                self._commit(tickets, counts)
            if closing:
                return

    def _commit(self, tickets: list[_Ticket], counts: _Counts) -> None:
        fresh: dict[tuple[str, str], int] = {}
        try:
            with self._ledger.transaction() as connection:
                if self._trouble:
                    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'probe'")
                self._write_counts(counts)
                self._write_hits(tickets, fresh)
        except Exception as error:
            trouble = error if isinstance(error, LedgerError) else LedgerError(f"the ledger failed: {error!r}")
            self._trouble = trouble
            with self._changed:  # counts are not lost, only late
                for key, row in counts.items():
                    before = self._counts.setdefault(key, [0, 0, 0, 0])
                    for place, value in enumerate(row):
                        before[place] += value
            _resolve(tickets, trouble)
            return
        self._trouble = None
        if len(self._numbers) + len(fresh) > _MOST_KNOWN:
            self._numbers.clear()
        self._numbers.update(fresh)
        _resolve(tickets, None)

    def _write_counts(self, counts: _Counts) -> None:
        rows = [(*key, *row) for key, row in counts.items() if any(row)]
        if rows:
            self._ledger.connection.executemany(_ADD_COUNTS, rows)

    def _write_hits(self, tickets: list[_Ticket], fresh: dict[tuple[str, str], int]) -> None:
        hits: list[tuple[object, ...]] = []
        sightings: list[tuple[object, ...]] = []
        days: dict[tuple[object, ...], list[int]] = {}
        for ticket in tickets:
            day, month = ticket.time // DAY_MS, month_of(ticket.time)
            for hit in ticket.hits:
                numbers = []
                for rank, seen in enumerate(hit.sighted):
                    number = self._number_of(seen, ticket.time, fresh)
                    numbers.append(number)
                    hits.append(
                        (
                            ticket.time,
                            ticket.party,
                            ticket.request,
                            ticket.generation,
                            hit.type,
                            number,
                            seen.distance,
                            rank,
                        )
                    )
                    sightings.append((month, number, ticket.party, ticket.time, ticket.time))
                    key = (day, ticket.party, seen.set, seen.category or "", hit.type, seen.distance)
                    row = days.setdefault(key, [0, 0])
                    row[0] += rank == 0
                    row[1] += 1
                ticket.numbers.append(numbers)
        connection = self._ledger.connection
        if hits:
            connection.executemany(_ADD_HIT, hits)
            connection.executemany(_ADD_SIGHTING, sightings)
            connection.executemany(_ADD_DAY, [(*key, *row) for key, row in days.items()])

    def _number_of(self, seen: Sighted, time: int, fresh: dict[tuple[str, str], int]) -> int:
        key = (seen.set, seen.key)
        number = self._numbers.get(key) or fresh.get(key)
        if number is None:
            connection = self._ledger.connection
            connection.execute(_ADD_ENTRY, (*key, seen.external, seen.category, seen.added, time))
            number = int(connection.execute(_FIND_ENTRY, key).fetchone()[0])
            fresh[key] = number
        return number


_ADD_COUNTS = """
INSERT INTO counts (hour, party, type, requests, checked, hits, invalid) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, checked = checked + excluded.checked,
    hits = hits + excluded.hits, invalid = invalid + excluded.invalid
"""
_ADD_HIT = """
INSERT INTO hits (time, party, request, generation, type, entry, distance, rank) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_SIGHTING = """
INSERT INTO sightings (month, entry, party, first, last, matches) VALUES (?, ?, ?, ?, ?, 1)
ON CONFLICT DO UPDATE SET matches = matches + 1, last = max(last, excluded.last)
"""
_ADD_DAY = """
INSERT INTO hit_days (day, party, set_name, category, type, distance, hits, matches)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET hits = hits + excluded.hits, matches = matches + excluded.matches
"""
_ADD_ENTRY = """
INSERT INTO entries (set_name, key, external, category, added, first_hit) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_FIND_ENTRY = "SELECT id FROM entries WHERE set_name = ? AND key = ?"


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
