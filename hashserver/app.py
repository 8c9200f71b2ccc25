"""The composition root: the one place that knows all parts of the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from hashcore import HashcoreError
from hashcore.disk.wholeness import catch_bus_errors
from hashserver import __version__
from hashserver.errors import Trouble
from hashserver.server import dashboard, errors
from hashserver.server.head import AnswerHead
from hashserver.server.keepers import give_up, keepers, tune_interpreter
from hashserver.server.loopback import AloneWithoutParties
from hashserver.server.metrics import Timing
from hashserver.server.parts import close_parts, open_parts
from hashserver.server.protocols import circl, hma, single
from hashserver.server.routes import check, entries, feedback, health, metrics, sets, usage
from hashserver.server.shortcut import Shortcut
from hashserver.server.warmup import warm_up
from hashserver.settings import Settings, load_settings

_ROUTERS = (
    sets.router,
    entries.router,
    usage.router,
    feedback.router,
    health.router,
    metrics.router,
    dashboard.router,
)
_DESCRIPTION = """
Hosting providers send hashes and learn which of them are known. No picture is ever sent, hashes that
do not match are not kept, and nothing lists the contents of the sets.
"""


def create_worker() -> Shortcut:
    """The server as `hashserver serve` runs it, which has opened the data folder before.

    What a worker does not find when it starts again is lost, and not new.
    """
    return create_app(create=False)


def create_app(settings: Settings | None = None, *, create: bool = True) -> Shortcut:
    """Build the server.

    Args:
        settings: read from environment and file when None, as worker processes do.
        create: make store and ledger where there never were any.
    """
    chosen = settings or load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            parts = await open_parts(chosen, create=create)
            app.state.dashboard = dashboard.Dashboard(chosen.data_dir)
        except (HashcoreError, Trouble) as error:
            if create:
                raise
            await give_up(error)
        catch_bus_errors()
        await run_in_threadpool(warm_up, chosen.data_dir)
        tune_interpreter()
        app.state.parts = parts
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
    app.add_middleware(AnswerHead)
    direct = (check.routes, single.routes, circl.routes, hma.routes)
    for routes in (*(each.router for each in direct), *_ROUTERS):
        app.include_router(routes)
    return Shortcut(app, AloneWithoutParties(chosen.host), direct)
