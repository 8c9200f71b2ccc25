"""While there never was a party, only this machine is answered, wherever the server listens.

`hashserver serve` does not start on other addresses then, but the application may be run by another
ASGI server. What comes over loopback need not come from this machine: a proxy passes on what others
send, and a page in a browser here may send what its site likes (DNS rebinding). Neither is
answered.
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
_OF_PROXIES = frozenset((b"forwarded", b"x-real-ip", b"via"))
_OF_PROXIES_BEGIN = b"x-forwarded-"


class AloneWithoutParties:
    """Decides which requests are refused while no party is configured.

    Args:
        host: the address that the server listens on according to its settings.
    """

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._was_for_others = not _stays_here(host)

    def refusal(self, scope: Scope) -> Problem | None:
        """Why a request is not answered, or None if it certainly comes from this machine.

        A load balancer's probe is answered, wherever it comes from.
        """
        if scope["path"] == _ALWAYS:
            return None
        server = scope.get("server")
        if server is None or self._was_for_others or not came_over_loopback(server):
            return no_parties()
        if server[1] is None:  # a Unix socket: file permissions decide who reaches it
            return None
        hosts, origins = [], []
        for name, value in scope["headers"]:
            if name in _OF_PROXIES or name.startswith(_OF_PROXIES_BEGIN):
                return came_through_proxy(name.decode("latin-1"))
            if name == b"host":
                hosts.append(value.decode("latin-1").lower())
            elif name == b"origin":
                origins.append(value.decode("latin-1").lower())
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return for_another_host()
        # Of the same site, whatever its scheme: no browser lets a page choose its origin.
        return from_another_site() if any(each.partition("://")[2] != hosts[0] for each in origins) else None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine as nobody else can name it."""
        name = _without_port(host)
        return name in ("localhost", self._host) or _is_loopback(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isascii() and port.isdigit() else host


def no_parties() -> Problem:
    """503: no party is configured, and the request may come from another machine."""
    return _refusal(
        503,
        "this server can be reached from other machines, but no party is configured; restore ledger.sqlite from a "
        "backup, or add a party with hashserver party add",
    )


def came_through_proxy(header: str) -> Problem:
    """503: a proxy passed the request on."""
    return _refusal(
        503,
        f"this request came through a proxy (it has the header {header}), but no party is configured, so only "
        "this machine is answered; add a party with hashserver party add",
    )


def for_another_host() -> Problem:
    """403: the request was sent to a name or address that others may have, too."""
    return _refusal(
        403,
        "no party is configured, so only requests to localhost or a loopback address are answered, and the Host "
        "header names another; add a party with hashserver party add",
    )


def from_another_site() -> Problem:
    """403: a page of another site sent the request."""
    return _refusal(
        403,
        "no party is configured, so only this machine is answered, and the Origin header names another site; add "
        "a party with hashserver party add",
    )


def _refusal(status: int, detail: str) -> Problem:
    problem = Problem(status, "no-parties", "No parties are configured", detail)
    if status == 503:
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
