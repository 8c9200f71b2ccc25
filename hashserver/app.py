"""The composition root: the one place that knows all parts of the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from hashserver import __version__
from hashserver.server import dashboard, errors, shortcut
from hashserver.server.keepers import keepers, tune_interpreter
from hashserver.server.loopback import AloneWithoutParties
from hashserver.server.metrics import Timing
from hashserver.server.parts import close_parts, open_parts
from hashserver.server.protocols import circl, hma, single
from hashserver.server.routes import check, entries, feedback, health, metrics, sets, usage
from hashserver.server.warmup import warm_up
from hashserver.settings import Settings, load_settings

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
        tune_interpreter()
        front.parts = parts
        parts.ready = True
        try:
            async with keepers(parts):
                yield
        finally:
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
