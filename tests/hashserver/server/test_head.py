"""HEAD, as monitors ask it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from hashserver.app import create_app
from hashserver.settings import load_settings


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/sets", "/dashboard", "/openapi.json", "/nothing"])
def test_head_is_answered_as_get_without_the_body(path: str, tmp_path: Path, runner: asyncio.Runner) -> None:
    app = create_app(load_settings(data_dir=tmp_path))

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path), await client.head(path)

    get, head = runner.run(ask())
    assert head.content == b""
    assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
    assert head.headers.get("content-length") == get.headers.get("content-length")
