"""Whether an address is this machine's own: without parties nobody else may ask."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import Any


def listens_on_loopback_only(host: str) -> bool:
    """Whether a server that listens on `host`, a name or an address, is out of reach for other machines.

    Raises:
        OSError: the name cannot be resolved.
    """
    return all(_is_loopback(str(info[4][0])) for info in socket.getaddrinfo(host, None))


def came_over_loopback(server: Any) -> bool:
    """Whether a request came over the loopback interface or a Unix socket.

    The client's address would not do: behind a proxy it is whatever `X-Forwarded-For` says.

    Args:
        server: of the ASGI scope: the address that the connection was made to, and its port, which is None
            for a Unix socket.
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
