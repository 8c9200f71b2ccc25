"""Without parties only this machine may ask, wherever the server listens.

`hashserver serve` does not start otherwise. But a ledger may be lost while it runs, and a worker that starts
again then knows of no party; or another server was started with the application.
"""

from __future__ import annotations

import logging

from starlette.types import Scope

from hashserver.problems import Problem
from hashserver.server.loopback import came_over_loopback, listens_on_loopback_only

log = logging.getLogger("hashserver")
_ALWAYS = "/healthz"


class AloneWithoutParties:
    """Tells which requests are refused while no party is configured.

    Args:
        host: where the settings say that the server listens.
    """

    def __init__(self, host: str) -> None:
        self._was_for_others = not _is_loopback(host)

    def refuses(self, scope: Scope) -> bool:
        """Whether a request may have come from another machine, and is not for a load balancer's probe."""
        return scope["path"] != _ALWAYS and (self._was_for_others or not came_over_loopback(scope.get("server")))


def no_parties() -> Problem:
    """503: nobody may ask yet."""
    problem = Problem(
        503,
        "no-parties",
        "No parties are configured",
        "this server can be reached from other machines and knows of no party who may ask; the operator restores "
        "ledger.sqlite from a backup, or adds a party with hashserver party add",
    )
    problem.headers["Retry-After"] = "60"
    return problem


def _is_loopback(host: str) -> bool:
    try:
        return listens_on_loopback_only(host)
    except OSError as error:
        log.warning("%r cannot be resolved, so it is not taken for this machine: %s", host, error)
        return False
