"""The composition root: the one place that knows all parts of the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from hashcore import Limits as StoreLimits
from hashcore import Store
from hashserver import __version__
from hashserver.problems import Limits
from hashserver.routes import check, errors, health, sets
from hashserver.settings import Settings, load_settings
from hashserver.warmup import warm_up

log = logging.getLogger("hashserver")

_DESCRIPTION = """
Hosting providers send hashes and learn which of them are known. No picture is ever sent, no hash that
misses is kept, and nothing lists what is in the sets.
"""


@dataclass(slots=True)
class Parts:
    """What the routes work with, made when the server starts."""

    settings: Settings
    limits: Limits
    store: Store
    ready: bool = False


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the server.

    Args:
        settings: read from environment and file when None, as worker processes do.
    """
    chosen = settings or load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = await run_in_threadpool(open_store, chosen)
        limits = Limits(chosen.max_hashes, chosen.max_body_bytes, chosen.max_unpacked_bytes)
        app.state.parts = parts = Parts(chosen, limits, store)
        await run_in_threadpool(warm_up, chosen.data_dir)
        # What is loaded by now stays: sweeping through it again and again would stall requests.
        gc.collect()
        gc.freeze()
        parts.ready = True
        refresher = asyncio.create_task(_keep_fresh(parts))
        log.info("ready: generation %d", _generation(store))
        try:
            yield
        finally:
            refresher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await refresher
            await run_in_threadpool(store.close)

    app = FastAPI(
        title="hashserver",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[{"name": "check"}, {"name": "sets"}, {"name": "health"}],
    )
    errors.install(app)
    app.add_middleware(check.CheckFirst, state=app.state)
    app.include_router(check.router)
    app.include_router(sets.router)
    app.include_router(health.router)
    return app


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name."""
    limits = StoreLimits(run_bytes=settings.load_memory_bytes, keep_generations=settings.keep_generations)
    return Store(settings.data_dir, map_size=settings.map_size_bytes, limits=limits)


def _generation(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.generation


async def _keep_fresh(parts: Parts) -> None:
    """Move on to new generations as they are published."""
    while True:
        await asyncio.sleep(parts.settings.refresh_seconds)
        try:
            if await run_in_threadpool(parts.store.refresh):
                log.info("serving generation %d", _generation(parts.store))
        except Exception:
            log.exception("cannot move on to the newest generation; still serving the one before")
