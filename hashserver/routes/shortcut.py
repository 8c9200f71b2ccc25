"""Past the framework: checks go to their handlers directly, for routing costs more than a small check does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import State
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hashserver.metrics import observe
from hashserver.problems import Problem
from hashserver.routes.errors import as_response
from hashserver.service import Parts

_GONE = 499  # no status of HTTP's, but widely used for clients that did not wait for the answer

Handler = Callable[[Parts, Scope, Receive], Awaitable[Response]]


class Shortcut:
    """Middleware that answers, and times, some paths itself; the routes answer, and document, the same.

    Args:
        app: everything else.
        state: of the application, with its parts.
        handlers: by method and path; a path that ends in / stands for all below it.
    """

    def __init__(self, app: ASGIApp, state: State, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._app, self._state, self._handlers = app, state, dict(handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = None
        if scope["type"] == "http":
            path = scope["path"]
            key = (scope["method"], path)
            if key not in self._handlers:
                path = path[: path.rfind("/") + 1]
                key = (key[0], path)
            handler = self._handlers.get(key)
        if handler is None:
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        try:
            try:
                response = await handler(self._state.parts, scope, receive)
            except Problem as problem:
                response = as_response(problem)
            status = response.status_code
            await response(scope, receive, send)
        except ClientDisconnect:
            status = _GONE
        finally:
            observe(scope["method"], path, status, time.perf_counter() - started)
