"""Without parties only this machine may ask, wherever the server listens.

`hashserver serve` does not start otherwise. But a ledger may be lost while it runs, and a worker that starts
again then knows of no party; or another server was started with the application.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from hashserver.loopback import came_over_loopback, listens_on_loopback_only
from hashserver.problems import Problem
from hashserver.routes.errors import as_response

log = logging.getLogger("hashserver")
_ALWAYS = "/healthz"


class AloneWithoutParties:
    """Middleware that refuses other machines while no party is configured.

    Args:
        app: everything else.
        state: of the application, with its parts.
        host: where the settings say that the server listens.
    """

    def __init__(self, app: ASGIApp, state: State, host: str) -> None:
        self._app, self._state = app, state
        self._was_for_others = not _is_loopback(host)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine of its own: every check comes through here, and next to none is refused.
        parts = getattr(self._state, "parts", None)  # none before the start is through, when nothing is answered
        if scope["type"] == "http" and parts is not None and parts.directory.is_open and self._refuses(scope):
            return as_response(_no_parties())(scope, receive, send)
        return self._app(scope, receive, send)

    def _refuses(self, scope: Scope) -> bool:
        return scope["path"] != _ALWAYS and (self._was_for_others or not came_over_loopback(scope.get("server")))


def _is_loopback(host: str) -> bool:
    try:
        return listens_on_loopback_only(host)
    except OSError as error:
        log.warning("%r cannot be resolved, so it is not taken for this machine: %s", host, error)
        return False


def _no_parties() -> Problem:
    problem = Problem(
        503,
        "no-parties",
        "No parties are configured",
        "this server can be reached from other machines and knows of no party who may ask; the operator restores "
        "ledger.sqlite from a backup, or adds a party with hashserver party add",
    )
    problem.headers["Retry-After"] = "60"
    return problem
