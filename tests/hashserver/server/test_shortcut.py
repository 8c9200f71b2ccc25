"""What happens to a check before the framework is entered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import md5_of
from starlette.requests import ClientDisconnect

from hashserver.app import create_app
from hashserver.server import metrics
from hashserver.server.parts import close_parts, open_parts
from hashserver.server.shortcut import Shortcut
from hashserver.settings import Settings

SECRET = md5_of("secret")


async def ask(app: Shortcut, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get(path)


def broken(error: BaseException) -> Any:
    async def respond(*_: Any) -> Any:
        raise error

    return respond


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[Any, list[float]]:
    found: dict[Any, list[float]] = {}
    monkeypatch.setattr(metrics, "_noted", found)
    return found


def test_a_handler_that_fails_is_a_problem_and_no_hash_gets_into_the_log(
    runner: asyncio.Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture, noted: dict[Any, list[float]]
) -> None:
    settings = Settings(data_dir=tmp_path)
    app = create_app(settings)
    parts = runner.run(open_parts(settings))
    app.app.state.parts = parts
    try:
        app._handlers["GET", "/lookup/md5/"] = broken(RuntimeError("a bug"))
        answer = runner.run(ask(app, f"/lookup/md5/{SECRET}"))
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
        assert "a request to /lookup/md5/ failed" in caplog.text
        assert "RuntimeError: a bug" in caplog.text
        assert SECRET not in caplog.text
        assert len(noted["GET", "/lookup/md5/", 500]) == 1
    finally:
        runner.run(close_parts(parts))


def test_a_client_that_does_not_wait_is_counted_and_gets_nothing(
    runner: asyncio.Runner, tmp_path: Path, noted: dict[Any, list[float]]
) -> None:
    settings = Settings(data_dir=tmp_path)
    app = create_app(settings)
    parts = runner.run(open_parts(settings))
    app.app.state.parts = parts
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/v2/check", "headers": [], "query_string": b""}
    try:
        runner.run(app({**scope, "server": ("127.0.0.1", 80)}, receive, send))
        app._handlers["POST", "/v2/check"] = broken(ClientDisconnect())
        runner.run(app({**scope, "server": ("127.0.0.1", 80)}, receive, send))
    finally:
        runner.run(close_parts(parts))
    assert sent == []
    assert len(noted["POST", "/v2/check", 499]) == 2
