"""Which addresses are this machine's own, and who is refused while there are no parties."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from serving import md5_of

from hashserver.app import create_app
from hashserver.ledger import Ledger
from hashserver.parties.admin import PartyAdmin
from hashserver.server.loopback import AloneWithoutParties, came_over_loopback, listens_on_loopback_only
from hashserver.server.parts import close_parts, open_parts
from hashserver.settings import Settings


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.7", False), ("2001:db8::1", False)),
    ],
)
def test_who_can_reach_an_address(host: str, alone: bool) -> None:
    assert listens_on_loopback_only(host) is alone


@pytest.mark.parametrize(
    ("server", "local"),
    [
        (("127.0.0.1", 8080), True),
        (("::1", 8080), True),
        (("::ffff:127.0.0.1", 8080), True),
        (("/run/hashserver.sock", None), True),
        (("192.0.2.7", 8080), False),
        (("::ffff:192.0.2.7", 8080), False),
        (("fe80::1%eth0", 8080), False),
        (("a name", 8080), False),
        (None, False),
    ],
)
def test_what_a_connection_was_made_to(server: tuple[str, int | None] | None, local: bool) -> None:
    assert came_over_loopback(server) is local


PATHS = ("/v2/check", "/v2/sets", "/v1/check/md5", "/lookup/md5/" + md5_of("x"), "/metrics", "/openapi.json", "/")


async def ask(app: Any, path: str, server: Any, headers: dict[str, str]) -> tuple[int, Any]:
    """Call the application as a server does whose connection was made to `server`."""
    transport = httpx.ASGITransport(_to(app, server))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        method = "POST" if path == "/v2/check" else "GET"
        content = orjson.dumps({"md5": [md5_of("x")]}) if method == "POST" else b""
        answer = await client.request(method, path, content=content, headers={"Content-Type": "application/json"})
    return answer.status_code, answer.json() if "json" in answer.headers["content-type"] else None


def _to(app: Any, server: Any) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "server": server}, receive, send)

    return call


@pytest.mark.parametrize(
    ("host", "server", "served"),
    [
        ("127.0.0.1", ("127.0.0.1", 8080), True),
        ("127.0.0.1", ("/run/hashserver.sock", None), True),
        ("127.0.0.1", ("192.0.2.7", 8080), False),
        ("127.0.0.1", None, False),
        ("0.0.0.0", ("127.0.0.1", 8080), False),
        ("no.such.host.invalid", ("127.0.0.1", 8080), False),
    ],
)
def test_only_this_machine_is_answered_until_there_are_parties(
    runner: asyncio.Runner, tmp_path: Path, host: str, server: Any, served: bool
) -> None:
    settings = Settings(data_dir=tmp_path, host=host)
    app = create_app(settings)
    parts = runner.run(open_parts(settings))
    parts.ready = True
    app.app.state.parts = parts

    async def statuses(headers: dict[str, str]) -> set[int]:
        found = set()
        for path in PATHS:
            status, problem = await ask(app, path, server, headers)
            found.add(status)
            if status == 503:
                assert problem["type"] == "/problems/no-parties"
                assert "hashserver party add" in problem["detail"]
        return found

    alone = runner.run(statuses({}))
    assert (200 in alone and 503 not in alone) if served else alone == {503}
    assert runner.run(ask(app, "/healthz", server, {}))[0] == 200
    with Ledger(tmp_path) as ledger:
        key = PartyAdmin(ledger, "user test").add("first", permissions=["admin"])
    assert parts.directory.refresh()
    assert 503 not in runner.run(statuses({"Authorization": f"Bearer {key}"})), "with parties, keys decide"
    assert runner.run(ask(app, "/v2/sets", server, {}))[0] == 401
    runner.run(close_parts(parts))


LOOPBACK = ("127.0.0.1", 8080)


def asked(**headers: str) -> dict[str, Any]:
    """A request over loopback to localhost with further headers."""
    given = {"host": "localhost:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items() if value]
    return {"path": "/v2/check", "server": LOOPBACK, "headers": raw}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.9.1:80", "[::1]:8080", "[::1]"]
)
def test_loopback_names_itself(host: str) -> None:
    assert AloneWithoutParties("127.0.0.1").refusal(asked(host=host)) is None
    assert AloneWithoutParties("127.0.0.1").refusal(asked(host=host, origin=f"http://{host}")) is None


@pytest.mark.parametrize(
    "header",
    [
        "forwarded",
        "x_forwarded_for",
        "x_forwarded_proto",
        "x_forwarded_host",
        "x_forwarded_any",
        "x_real_ip",
        "via",
    ],
)
def test_what_came_through_a_proxy_is_not_of_this_machine(header: str) -> None:
    refused = AloneWithoutParties("127.0.0.1").refusal(asked(**{header: "127.0.0.1"}))
    assert refused is not None
    assert (refused.status, refused.slug) == (503, "no-parties")
    assert header.replace("_", "-") in refused.detail
    assert "hashserver party add" in refused.detail


@pytest.mark.parametrize(
    "host",
    [
        "hashes.example",
        "hashes.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.0.2.7",
        "",
        "]",
    ],
)
def test_a_name_that_others_may_have_is_refused(host: str) -> None:
    """As a page does whose site has let its name point to this machine (DNS rebinding)."""
    refused = AloneWithoutParties("127.0.0.1").refusal(asked(host=host))
    assert refused is not None
    assert (refused.status, refused.slug) == (403, "no-parties")
    assert "Host" in refused.detail


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    refused = AloneWithoutParties("127.0.0.1").refusal(asked(origin=origin))
    assert refused is not None
    assert (refused.status, refused.slug) == (403, "no-parties")
    assert "Origin" in refused.detail


def test_two_hosts_are_none_and_the_name_that_is_listened_on_is_ours() -> None:
    twice = asked()
    twice["headers"].append((b"host", b"localhost"))
    assert AloneWithoutParties("127.0.0.1").refusal(twice) is not None
    assert AloneWithoutParties("localhost").refusal(asked(host="localhost")) is None


def test_a_unix_socket_is_for_those_who_may_open_it() -> None:
    scope = {**asked(host="hashes.example", x_forwarded_for="192.0.2.7"), "server": ("/run/hashserver.sock", None)}
    assert AloneWithoutParties("127.0.0.1").refusal(scope) is None
