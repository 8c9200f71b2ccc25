"""The composition root: the one place that knows all parts of the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from hashcore import Limits as StoreLimits
from hashcore import Store
from hashserver import __version__
from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.counts import checked_on
from hashserver.ledger.publications import find_unaudited
from hashserver.ledger.retention import apply_retention
from hashserver.ledger.writer import LedgerWriter
from hashserver.parties import Directory
from hashserver.parties.limits import Meter
from hashserver.problems import Limits
from hashserver.server import dashboard
from hashserver.server.alone import AloneWithoutParties
from hashserver.server.metrics import Timing, flush
from hashserver.server.parts import Parts
from hashserver.server.protocols import circl, hma, single
from hashserver.server.routes import check, entries, errors, feedback, health, metrics, sets, shortcut, usage
from hashserver.server.warmup import warm_up, warm_up_changes
from hashserver.settings import Settings, load_settings
from hashserver.times import DAY_MS, now_ms

log = logging.getLogger("hashserver")
_SWITCH_SECONDS = 0.0005
_YOUNG_OBJECTS = 20_000  # before the collector looks at them: next to none that a request makes are in cycles

_RETENTION_SECONDS = 3600.0
_METRICS_SECONDS = 0.2

_SHORTCUTS: dict[tuple[str, str], shortcut.Handler] = {
    ("POST", "/v2/check"): check.respond,
    ("POST", single.CHECK): single.respond,
    ("POST", single.TEST): single.respond_to_test,
    **{("GET", path): circl.respond for path in circl.LOOKUPS},
    **{("POST", path): circl.respond_to_bulk for path in circl.BULKS},
    ("GET", hma.RAW_LOOKUP): hma.respond_raw,
    ("GET", hma.LOOKUP): hma.respond,
    ("GET", hma.STATUS): hma.respond_to_status,
}
_DESCRIPTION = """
Hosting providers send hashes and learn which of them are known. No picture is ever sent, no hash that
misses is kept, and nothing lists what is in the sets.
"""


def create_app(settings: Settings | None = None) -> shortcut.Shortcut:
    """Build the server.

    Args:
        settings: read from environment and file when None, as worker processes do.
    """
    chosen = settings or load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = await open_parts(chosen)
        app.state.dashboard = dashboard.Dashboard(chosen.data_dir)
        await run_in_threadpool(warm_up, chosen.data_dir)
        # What is loaded by now stays: sweeping through it again and again would stall requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)
        # Small requests wait for the interpreter while large ones are read and matched in threads, by default for
        # as much as 5 ms.
        sys.setswitchinterval(_SWITCH_SECONDS)
        front.parts = parts
        parts.ready = True
        ending = threading.Event()
        keepers = (_keep_sets_fresh(parts), _keep_parties_fresh(parts), _keep_short(chosen), _keep_metrics_fresh())
        tasks = [asyncio.create_task(keeper) for keeper in (*keepers, _warm_up_changes(ending.is_set))]
        _end_with_parent()
        log.info("ready: generation %d", _generation(parts.store))
        try:
            yield
        finally:
            ending.set()
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await run_in_threadpool(app.state.dashboard.close)
            await close_parts(parts)

    app = FastAPI(
        title="hashserver",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[
            {"name": "check"},
            {"name": "existing clients"},
            {"name": "sets"},
            {"name": "entries"},
            {"name": "usage"},
            {"name": "feedback"},
            {"name": "health"},
        ],
    )
    errors.install(app)
    app.add_middleware(Timing)
    for router in (check.router, single.router, circl.router, hma.router):
        app.include_router(router)
    app.include_router(sets.router)
    app.include_router(entries.router)
    app.include_router(usage.router)
    app.include_router(feedback.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(dashboard.router)
    front = shortcut.Shortcut(app, AloneWithoutParties(chosen.host), _SHORTCUTS)
    return front


def _end_with_parent() -> None:
    """Let a worker end when the server that started it is gone: it would hold the port with nobody to stop it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def end() -> None:
        loop.remove_reader(sentinel)
        log.error("the server that started this worker has ended without a word; the worker ends as well")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, end)


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name."""
    limits = StoreLimits(run_bytes=settings.load_memory_bytes, keep_generations=settings.keep_generations)
    return Store(settings.data_dir, map_size=settings.map_size_bytes, limits=limits)


async def open_parts(settings: Settings) -> Parts:
    """Open everything that requests need."""
    limits, store, directory, meter = await run_in_threadpool(_open_parts, settings)
    return Parts(settings, limits, store, await LedgerWriter.start(settings.data_dir), directory, meter)


def _open_parts(settings: Settings) -> tuple[Limits, Store, Directory, Meter]:
    limits = Limits(settings.max_hashes, settings.max_body_bytes, settings.max_unpacked_bytes)
    store = open_store(settings)
    _audit_what_was_killed(store)
    directory = Directory(settings.data_dir)
    meter = Meter(settings.data_dir)
    today = now_ms() // DAY_MS
    with Ledger(settings.data_dir, read_only=True) as ledger:
        for party, hashes in checked_on(ledger, today).items():
            meter.seed(party, today, hashes)
    return limits, store, directory, meter


def _audit_what_was_killed(store: Store) -> None:
    try:
        with Ledger(store.folder) as ledger:
            if found := find_unaudited(ledger, store):
                log.warning("%d generations had no line in the audit log; they have one now", found)
    except LedgerError as error:
        log.warning("cannot look for generations that the audit log does not know: %s", error)


async def close_parts(parts: Parts) -> None:
    """Have everything written, and let go of it."""
    await parts.ledger.close()
    await run_in_threadpool(_close_parts, parts)


def _close_parts(parts: Parts) -> None:
    parts.meter.close()
    parts.directory.close()
    parts.store.close()


def _generation(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.generation


async def _keep_sets_fresh(parts: Parts) -> None:
    """Move on to new generations as they are published."""
    while True:
        await asyncio.sleep(parts.settings.refresh_seconds)
        try:
            if await run_in_threadpool(parts.store.refresh):
                log.info("serving generation %d", _generation(parts.store))
        except Exception:
            log.exception("cannot move on to the newest generation; still serving the one before")


async def _keep_parties_fresh(parts: Parts) -> None:
    """Notice changed parties; neither large sets nor requests that fill the thread pool hold this up."""
    own = CapacityLimiter(1)
    while True:
        await asyncio.sleep(parts.settings.refresh_seconds)
        try:
            if await to_thread.run_sync(parts.directory.refresh, limiter=own):
                log.info("the parties have changed")
        except Exception:
            log.exception("cannot read the parties; still serving those known before")


async def _keep_metrics_fresh() -> None:
    """Show the other workers what this one measures."""
    while True:
        await asyncio.sleep(_METRICS_SECONDS)
        flush()


async def _warm_up_changes(is_ending: Callable[[], bool]) -> None:
    """Spare the first who adds an entry the wait for compiled kernels."""
    try:
        await to_thread.run_sync(warm_up_changes, is_ending, limiter=CapacityLimiter(1))
    except Exception as error:
        log.warning("the first change of a set may take some seconds: warming up for it failed: %s", error)


async def _keep_short(settings: Settings) -> None:
    """Delete what the operator does not want to keep, when the server starts and every hour."""
    hits, counts = settings.keep_hits_days, settings.keep_counts_days
    while hits is not None or counts is not None:
        try:
            deleted = await run_in_threadpool(
                apply_retention, settings.data_dir, keep_hits_days=hits, keep_counts_days=counts
            )
            if deleted.hits or deleted.counts:
                log.info("retention: %d hits and %d counts deleted", deleted.hits, deleted.counts)
        except Exception:
            log.exception("old hits and counts cannot be deleted; trying again in an hour")
        await asyncio.sleep(_RETENTION_SECONDS)
