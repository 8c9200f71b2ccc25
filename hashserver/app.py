"""The composition root: the one place that knows all parts of the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from hashcore import Limits as StoreLimits
from hashcore import Store
from hashserver import __version__
from hashserver.ledger import Ledger
from hashserver.ledger.audit import now_ms
from hashserver.ledger.counts import checked_on
from hashserver.ledger.fold import DAY_MS
from hashserver.ledger.writer import LedgerWriter
from hashserver.parties import Directory
from hashserver.parties.limits import Meter
from hashserver.problems import Limits
from hashserver.routes import check, errors, health, sets, shortcut
from hashserver.service import Parts
from hashserver.settings import Settings, load_settings
from hashserver.warmup import warm_up

log = logging.getLogger("hashserver")

_DESCRIPTION = """
Hosting providers send hashes and learn which of them are known. No picture is ever sent, no hash that
misses is kept, and nothing lists what is in the sets.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the server.

    Args:
        settings: read from environment and file when None, as worker processes do.
    """
    chosen = settings or load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.parts = parts = await run_in_threadpool(open_parts, chosen)
        await run_in_threadpool(warm_up, chosen.data_dir)
        # What is loaded by now stays: sweeping through it again and again would stall requests.
        gc.collect()
        gc.freeze()
        parts.ready = True
        refreshers = [asyncio.create_task(keep(parts)) for keep in (_keep_sets_fresh, _keep_parties_fresh)]
        _end_with_parent()
        log.info("ready: generation %d", _generation(parts.store))
        try:
            yield
        finally:
            for refresher in refreshers:
                refresher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await refresher
            await run_in_threadpool(_close_parts, parts)

    app = FastAPI(
        title="hashserver",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[{"name": "check"}, {"name": "sets"}, {"name": "health"}],
    )
    errors.install(app)
    app.add_middleware(shortcut.Shortcut, state=app.state, handlers={("POST", "/v2/check"): check.respond})
    app.include_router(check.router)
    app.include_router(sets.router)
    app.include_router(health.router)
    return app


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


def open_parts(settings: Settings) -> Parts:
    """Open everything that requests need."""
    limits = Limits(settings.max_hashes, settings.max_body_bytes, settings.max_unpacked_bytes)
    store = open_store(settings)
    directory = Directory(settings.data_dir)
    meter = Meter(settings.data_dir)
    today = now_ms() // DAY_MS
    with Ledger(settings.data_dir, read_only=True) as ledger:
        for party, hashes in checked_on(ledger, today).items():
            meter.seed(party, today, hashes)
    return Parts(settings, limits, store, LedgerWriter(settings.data_dir), directory, meter)


def _close_parts(parts: Parts) -> None:
    parts.ledger.close()
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
