"""What happens to a check before the framework is entered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from serving import md5_of
from starlette.requests import ClientDisconnect

from hashserver.app import create_app
from hashserver.server.direct import DirectRoutes
from hashserver.server.loopback import AloneWithoutParties
from hashserver.server.parts import Parts, close_parts, open_parts
from hashserver.server.shortcut import Shortcut
from hashserver.settings import Settings

SECRET = md5_of("secret")
JSON = {"Content-Type": "application/json"}


async def ask(app: Any, method: str, path: str, content: bytes = b"") -> httpx.Response:
    transport = httpx.ASGITransport(app)
    headers = {**JSON, "X-Request-Id": "one"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        return await client.request(method, path, content=content)


def raising(error: BaseException) -> DirectRoutes:
    """One route, whose handler fails."""
    routes = DirectRoutes("test")

    @routes.add("GET", "/lookup/{hash}")
    async def broken(*_: Any) -> Any:
        raise error

    return routes


def requests(parts: Parts) -> dict[tuple[str, str, str], float]:
    """How many were timed, by method, route and status."""
    parts.latencies.flush()
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(parts.latencies.scrape().decode())
        for sample in family.samples
        if sample.name == "hashserver_http_request_seconds_count"
    }


@pytest.fixture
def parts(runner: asyncio.Runner, tmp_path: Path) -> Iterator[Parts]:
    opened = runner.run(open_parts(Settings(data_dir=tmp_path)))
    yield opened
    runner.run(close_parts(opened))


def in_front(parts: Parts, routes: DirectRoutes) -> Shortcut:
    framework = FastAPI()
    framework.state.parts = parts
    return Shortcut(framework, AloneWithoutParties("127.0.0.1"), [routes])


def test_a_handler_that_fails_is_a_problem_and_no_hash_gets_into_the_log(
    runner: asyncio.Runner, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    app = in_front(parts, raising(RuntimeError("a bug")))
    answer = runner.run(ask(app, "GET", f"/lookup/{SECRET}"))
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert "a request to /lookup/ failed" in caplog.text
    assert "RuntimeError: a bug" in caplog.text
    assert SECRET not in caplog.text
    assert requests(parts) == {("GET", "/lookup/", "500"): 1}


def test_a_client_that_does_not_wait_is_counted_and_gets_nothing(
    runner: asyncio.Runner, parts: Parts, tmp_path: Path
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    app.app.state.parts = parts
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
        "server": ("127.0.0.1", 80),
    }
    runner.run(app({**scope, "method": "POST", "path": "/v2/check"}, receive, send))
    gone = in_front(parts, raising(ClientDisconnect()))
    runner.run(gone({**scope, "method": "GET", "path": f"/lookup/{SECRET}"}, receive, send))
    assert sent == []
    assert requests(parts) == {("POST", "/v2/check", "499"): 1, ("GET", "/lookup/", "499"): 1}


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/v2/check", b'{"md5": ["%s", "bad"]}' % SECRET.encode()),
        ("POST", "/v2/check", b"{"),
        ("POST", "/v2/check?type=pdq&max_distance=3", b"{}"),
        ("POST", "/v1/check/md5", SECRET.encode()),
        ("POST", "/v1/check/md6", SECRET.encode()),
        ("POST", "/v1/test/check/sha1", b"bad"),
        ("GET", f"/lookup/md5/{SECRET}", b""),
        ("GET", "/lookup/md5/bad", b""),
        ("GET", "/lookup/md6/bad", b""),
        ("POST", "/bulk/sha1", b'{"hashes": ["bad"]}'),
        ("POST", "/bulk/md6", b"{}"),
        ("GET", "/info", b""),
        ("GET", f"/m/raw_lookup?signal={SECRET}&signal_type=md5&include_distance=true", b""),
        ("GET", f"/m/lookup?signal={SECRET}&signal_type=md6", b""),
        ("GET", "/m/index/status", b""),
        ("DELETE", "/v2/check", b""),
    ],
)
def test_the_framework_answers_the_same(
    runner: asyncio.Runner, parts: Parts, tmp_path: Path, method: str, path: str, content: bytes
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    app.app.state.parts = parts
    direct, plain = (runner.run(ask(each, method, path, content)) for each in (app, app.app))
    assert (direct.status_code, direct.headers, direct.content) == (
        plain.status_code,
        plain.headers,
        plain.content,
    )


def test_every_direct_route_is_documented(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    paths = app.app.openapi()["paths"]
    for path, methods in {
        "/v2/check": "post",
        "/v1/check/{type}": "post",
        "/v1/test/check/{type}": "post",
        "/lookup/{type}/{hash}": "get",
        "/bulk/{type}": "post",
        "/info": "get",
        "/m/raw_lookup": "get",
        "/m/lookup": "get",
        "/m/index/status": "get",
    }.items():
        operation = paths[path][methods]
        assert operation["summary"]
        assert operation["description"]
        assert len(operation["responses"]) > 1
        named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert named == {each[1:-1] for each in path.split("/") if each.startswith("{")}
