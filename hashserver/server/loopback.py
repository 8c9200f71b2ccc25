"""While no party is configured, only this machine is answered, wherever the server listens.

`hashserver serve` does not start on other addresses then. But the ledger may get lost while the
server runs, so that a restarted worker finds no parties; or the application may be run by another
ASGI server.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from hashserver.server.problems import Problem

log = logging.getLogger("hashserver")
_ALWAYS = "/healthz"


class AloneWithoutParties:
    """Decides which requests are refused while no party is configured.

    Args:
        host: the address that the server listens on according to its settings.
    """

    def __init__(self, host: str) -> None:
        self._was_for_others = not _stays_here(host)

    def refuses(self, scope: Scope) -> bool:
        """Whether a request may come from another machine and is not a load balancer's probe."""
        return scope["path"] != _ALWAYS and (self._was_for_others or not came_over_loopback(scope.get("server")))


def no_parties() -> Problem:
    """503: no party is configured, and the request may come from another machine."""
    problem = Problem(
        503,
        "no-parties",
        "No parties are configured",
        "this server can be reached from other machines, but no party is configured; restore ledger.sqlite from a "
        "backup, or add a party with hashserver party add",
    )
    problem.headers["Retry-After"] = "60"
    return problem


def _stays_here(host: str) -> bool:
    try:
        return listens_on_loopback_only(host)
    except OSError as error:
        log.warning("cannot resolve %r, so it does not count as this machine: %s", host, error)
        return False


def listens_on_loopback_only(host: str) -> bool:
    """Whether other machines cannot reach a server that listens on `host`, a name or an address.

    Raises:
        OSError: the name cannot be resolved.
    """
    return all(_is_loopback(str(info[4][0])) for info in socket.getaddrinfo(host, None))


def came_over_loopback(server: Any) -> bool:
    """Whether a request came over the loopback interface or a Unix socket.

    The client's address does not tell: behind a proxy it is whatever `X-Forwarded-For` says.

    Args:
        server: of the ASGI scope: the address that the connection was made to, and its port, which
            is None for a Unix socket.
    """
    return server is not None and (server[1] is None or _is_loopback(server[0]))


@lru_cache(maxsize=64)
def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # ::ffff:127.0.0.1, which is loopback by itself from Python 3.13
    return (mapped or found).is_loopback
