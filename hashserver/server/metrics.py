"""What Prometheus reads: how requests fare, measured here, and what the ledger and the store hold.

Several workers share the measurements through files, see `hashserver.server.metrics_folder`; its
variable has to be set before this module is imported. Without it a process counts for itself.
Hashes and hits are read from the ledger: exact over all workers and restarts.
"""

from __future__ import annotations

import os
import sqlite3
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashcore import Store
from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.tables.counts import counts_of_all_parties, counts_of_all_types
from hashserver.ledger.tables.inbox import waiting
from hashserver.ledger.tables.parties import party_names
from hashserver.parties.party import LOCAL
from hashserver.server.metrics_folder import VARIABLE

_METHODS = frozenset(("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"))
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

_Key = tuple[str, str, int]


class _Seconds(Histogram):
    """A histogram that takes many observations at once: one by one they cost as much as answering a hash."""

    def observe_all(self, seconds: list[float]) -> None:
        """Observe all of them."""
        buckets = Counter(bisect_left(self._upper_bounds, each) for each in seconds)
        self._sum.inc(sum(seconds))
        for place, count in buckets.items():
            self._buckets[place].inc(count)


_own = CollectorRegistry()
_noted: dict[_Key, list[float]] = {}
_children: dict[_Key, _Seconds] = {}
_seconds = _Seconds(
    "hashserver_http_request_seconds",
    "Seconds from a request to the end of its answer.",
    ("method", "route", "status"),
    registry=_own,
    buckets=_BUCKETS,
)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Note how long a request took, on the event loop; `flush` shows it to others.

    Args:
        method: of the request.
        route: the template of its route, never its path: the number of templates is bounded, and no
            hash or id gets into a label.
        status: of the answer.
        seconds: to the end of the answer.
    """
    key = (method, route, status)
    try:
        _noted[key].append(seconds)
    except KeyError:
        if method not in _METHODS:
            key = ("other", route, status)
        _noted.setdefault(key, []).append(seconds)


def flush() -> None:
    """Add what was noted to what is scraped; on the event loop, several times a second."""
    for key, seconds in _noted.items():
        if seconds:
            child = _children.get(key)
            if child is None:
                method, route, status = key
                child = _children[key] = _seconds.labels(method, route, str(status))
            child.observe_all(seconds)
            seconds.clear()


class Timing:
    """Middleware that measures the requests that go through the framework."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = str(getattr(scope.get("route"), "path", "other"))
            observe(scope["method"], route, status, time.perf_counter() - started)


class _Holdings(Collector):
    """What the ledger and the store hold.

    Args:
        store: of the worker that answers.
        trouble: whether that worker cannot write the ledger.
    """

    def __init__(self, store: Store, trouble: bool) -> None:
        self._store, self._trouble = store, trouble

    def collect(self) -> Iterable[Metric]:
        trouble = self._trouble
        try:
            with Ledger(self._store.folder, read_only=True) as ledger, ledger.reading() as connection:
                found = [
                    *_counts(connection),
                    _gauge("inbox_matches", "Matches to be folded.", waiting(connection)),
                ]
            yield from found
        except LedgerError:
            trouble = True
        yield _gauge("ledger_trouble", "1 while the ledger cannot be read or written.", float(trouble))
        yield _gauge("ledger_bytes", "Bytes of the ledger's files.", _ledger_bytes(self._store.folder))
        yield _gauge("store_bytes", "Bytes of the store's file.", self._store.bytes_used)
        with self._store.read() as snapshot:
            manifest = snapshot.manifest
        yield _gauge("generation", "Generation served by the worker that answers.", manifest.generation)
        entries = GaugeMetricFamily("hashserver_set_entries", "Entries of a set.", labels=("set", "role"))
        for each in manifest.sets.values():
            entries.add_metric((each.name, each.role), each.entries)
        yield entries


def scrape(store: Store, *, trouble: bool) -> bytes:
    """Everything, in Prometheus' text format."""
    registry = CollectorRegistry()
    if VARIABLE in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        measured = generate_latest(registry)
    else:
        measured = generate_latest(_own)
    holdings = CollectorRegistry()
    holdings.register(_Holdings(store, trouble))
    return measured + generate_latest(holdings)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hashserver_{name}", words, value=value)


def _counts(connection: sqlite3.Connection) -> Iterator[Metric]:
    by_type = counts_of_all_types(connection)
    for member, name, words in (
        ("checked", "checked_hashes", "Well-formed hashes that were checked."),
        ("hits", "hits", "Hashes that matched."),
        ("invalid", "invalid_hashes", "Hashes that were not well-formed."),
    ):
        yield _counter(name, words, "type", [(type_, getattr(sums, member)) for type_, sums in by_type.items()])
    names, by_party = party_names(connection), counts_of_all_parties(connection)
    for member, name in (("checked", "party_checked_hashes"), ("hits", "party_hits")):
        values = [(names.get(party, LOCAL.name), getattr(sums, member)) for party, sums in by_party.items()]
        yield _counter(name, "Of a party.", "party", values)


def _counter(name: str, words: str, label: str, values: list[tuple[str, int]]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"hashserver_{name}", words, labels=(label,))
    for value, number in values:
        family.add_metric((value,), number)
    return family


def _ledger_bytes(folder: Path) -> int:
    total = 0
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            total += (folder / f"{LEDGER_FILE}{suffix}").stat().st_size
    return total
