"""Which proxy leads to a server, by the variables of the environment that curl reads as well.

This machine itself is never asked through one.

httpx would set up every proxy that the environment names, whether it is needed or not, and refuse
to start at one that it does not understand.
"""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies

from hashserver.client.errors import ClientError

_SCHEMES = ("http", "https", "socks5", "socks5h")


def proxy_for(url: str) -> str | None:
    """The URL of the proxy for a server; None if it is asked directly.

    Raises:
        ClientError: the proxy cannot be used; the message names no URL, which may hold a password.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or not parts.hostname or _is_direct(parts.hostname, _port(url), proxies.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    variable = f"{parts.scheme if proxies.get(parts.scheme) else 'all'}_proxy".upper()
    way_out = f"correct it, or name {parts.hostname} in NO_PROXY"
    try:
        scheme, host = urlsplit(proxy).scheme.lower(), urlsplit(proxy).hostname
        _ = urlsplit(proxy).port
    except ValueError:
        raise ClientError(f"the proxy in {variable} is not a URL; {way_out}") from None
    if scheme not in _SCHEMES or not host:
        raise ClientError(
            f"the proxy in {variable} cannot be used: its URL does not begin with one of "
            f"{', '.join(f'{each}://' for each in _SCHEMES)} and a host; {way_out}"
        )
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise ClientError(f"the proxy in {variable} needs the package socksio: install it; or {way_out}")
    return proxy


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None  # whoever sends to it will say so


def _is_direct(host: str, port: int | None, exceptions: str) -> bool:
    """Whether a host is among the exceptions: names with all below them, addresses, networks, *."""
    host = host.lower().rstrip(".")
    return _is_this_machine(host) or any(
        _means(each.strip().lower(), host, port) for each in exceptions.split(",") if each.strip()
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _means(exception: str, host: str, port: int | None) -> bool:
    if exception == "*":
        return True
    if exception.startswith("["):
        exception, _, its_port = exception[1:].partition("]")
        its_port = its_port.removeprefix(":")
    elif exception.count(":") == 1:
        exception, _, its_port = exception.partition(":")
    else:
        its_port = ""
    if its_port and its_port != str(port):
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        name = exception.lstrip("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
