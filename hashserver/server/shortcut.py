"""Checks skip the framework, whose routing takes longer than a small check does."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from hashserver.server.direct import DirectRoutes
from hashserver.server.errors import REFUSALS, as_response, failed, problem_of
from hashserver.server.loopback import AloneWithoutParties
from hashserver.server.parts import Parts
from hashserver.server.problems import files_lost

_WHILE_IN_TROUBLE = frozenset(("/healthz", "/readyz", "/metrics"))
_GONE = 499  # not an HTTP status, but widely used for clients that did not wait for the answer


class Shortcut:
    """The server's ASGI application: answers some routes itself, and times them.

    The framework has the same routes, with the same answers, and documents them.

    Args:
        app: everything else, with its state.
        alone: decides what is refused while there are no parties.
        direct: the routes to answer here.
    """

    def __init__(self, app: FastAPI, alone: AloneWithoutParties, direct: Iterable[DirectRoutes]) -> None:
        self.app = app
        self._alone = alone
        self._parts: Parts | None = None  # kept, because a look-up in the state takes half a microsecond
        self._handlers = {key: handler for routes in direct for key, handler in routes.handlers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it to the framework."""
        if scope["type"] != "http":
            self._parts = None  # a new lifespan brings parts of its own
            await self.app(scope, receive, send)
            return
        parts = self._parts
        if parts is None:
            parts = self._parts = getattr(self.app.state, "parts", None)
            if parts is None:
                await self.app(scope, receive, send)
                return
        method, path = scope["method"], scope["path"]
        if parts.trouble is not None and path not in _WHILE_IN_TROUBLE:
            await as_response(files_lost(parts.trouble))(scope, receive, send)
            return
        if parts.directory.is_open:
            refusal = self._alone.refusal(scope)
            if refusal is not None:
                await as_response(refusal)(scope, receive, send)
                return
        handler = self._handlers.get((method, path))
        if handler is None:
            path = path[: path.rfind("/") + 1]
            handler = self._handlers.get((method, path))
            if handler is None:
                await self.app(scope, receive, send)
                return
        started, status = time.perf_counter(), 500
        try:
            try:
                response = await handler(parts, scope, receive)
            except REFUSALS as error:
                response = as_response(problem_of(error))
            except ClientDisconnect:
                status = _GONE
                return
            except Exception:
                response = failed(path)
            status = response.status_code
            await response(scope, receive, send)
        finally:
            parts.latencies.observe(method, path, status, time.perf_counter() - started)
