"""What Prometheus reads: latencies, measured here, and figures of the ledger and the store.

Several workers share the measurements through files, see `hashserver.server.metrics_folder`; its
variable must be set before this module is imported. Without it each process counts on its own.
Hashes and hits are read from the ledger, so they are exact across workers and restarts.
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
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the histogram of latencies, in seconds."""

_Key = tuple[str, str, int]


class _Seconds(Histogram):
    """A histogram that takes many observations at once.

    One by one they cost as much as answering a hash does.
    """

    def observe_all(self, seconds: list[float]) -> None:
        """Observe all of them."""
        buckets = Counter(bisect_left(self._upper_bounds, each) for each in seconds)
        self._sum.inc(sum(seconds))
        for place, count in buckets.items():
            self._buckets[place].inc(count)


class Latencies:
    """How long requests took: noted one by one, and added in bulk to what is scraped."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = _Seconds(
            "hashserver_http_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._noted: dict[_Key, list[float]] = {}
        self._children: dict[_Key, _Seconds] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note how long a request took, on the event loop; `flush` makes it visible.

        Args:
            method: of the request.
            route: the template of its route, never its path: the number of templates is bounded,
                and no hash or id gets into a label.
            status: of the answer.
            seconds: to the end of the answer.
        """
        key = (method, route, status)
        try:
            self._noted[key].append(seconds)
        except KeyError:
            if method not in _METHODS:
                key = ("other", route, status)
            self._noted.setdefault(key, []).append(seconds)

    def flush(self) -> None:
        """Add what was noted to what is scraped; on the event loop, several times a second."""
        for key, seconds in self._noted.items():
            if seconds:
                child = self._children.get(key)
                if child is None:
                    method, route, status = key
                    child = self._children[key] = self._seconds.labels(method, route, str(status))
                child.observe_all(seconds)
                seconds.clear()

    def scrape(self) -> bytes:
        """What was flushed, as Prometheus' text; of all workers where they count together."""
        if VARIABLE not in os.environ:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)


class Timing:
    """Middleware that measures the requests that go through the framework."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = getattr(scope["app"].state, "parts", None)
        if parts is None or scope["type"] != "http":
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
            parts.latencies.observe(scope["method"], route, status, time.perf_counter() - started)


class _Holdings(Collector):
    """Figures of the ledger and the store.

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
                    _gauge(
                        "inbox_matches",
                        "Matches that are recorded but not yet folded into the tables.",
                        waiting(connection),
                    ),
                ]
            yield from found
        except LedgerError:
            trouble = True
        yield _gauge("ledger_trouble", "1 while the ledger cannot be read or written.", float(trouble))
        yield _gauge("ledger_bytes", "Size of the ledger's files in bytes.", _ledger_bytes(self._store.folder))
        yield _gauge("store_bytes", "Size of the store's file in bytes.", self._store.bytes_used)
        with self._store.read() as snapshot:
            manifest = snapshot.manifest
        yield _gauge("generation", "Generation served by the worker that answers.", manifest.generation)
        entries = GaugeMetricFamily("hashserver_set_entries", "Entries in a set.", labels=("set", "role"))
        for each in manifest.sets.values():
            entries.add_metric((each.name, each.role), each.entries)
        yield entries


def scrape(store: Store, latencies: Latencies, *, trouble: bool) -> bytes:
    """Everything, in Prometheus' text format.

    Args:
        store: of the worker that answers.
        latencies: of that worker; see `Latencies.scrape`.
        trouble: whether that worker cannot write the ledger.
    """
    holdings = CollectorRegistry()
    holdings.register(_Holdings(store, trouble))
    return latencies.scrape() + generate_latest(holdings)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hashserver_{name}", words, value=value)


def _counts(connection: sqlite3.Connection) -> Iterator[Metric]:
    by_type = counts_of_all_types(connection)
    for member, name, words in (
        ("checked", "checked_hashes", "Well-formed hashes that were checked."),
        ("hits", "hits", "Hashes that matched."),
        ("invalid", "invalid_hashes", "Hashes that were malformed."),
    ):
        values = [(hash_type, getattr(sums, member)) for hash_type, sums in by_type.items()]
        yield _counter(name, words, "type", values)
    names, by_party = party_names(connection), counts_of_all_parties(connection)
    for member, name, words in (
        ("checked", "party_checked_hashes", "Well-formed hashes that a party checked."),
        ("hits", "party_hits", "Hashes of a party that matched."),
    ):
        values = [(names.get(party, LOCAL.name), getattr(sums, member)) for party, sums in by_party.items()]
        yield _counter(name, words, "party", values)


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
