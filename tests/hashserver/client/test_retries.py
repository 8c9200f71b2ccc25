"""Tests of the clients' tries, against a real server that fails."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from typing import Any

import pytest
from flaky import Asked, Flaky, Reply, flaky

from hashserver.client import AsyncClient, CheckResult, Client, ClientError


def all_missed(asked: Asked) -> dict[str, Any]:
    """All MD5s that were sent have been checked, and none is known."""
    return {"generation": 5, "checked": {"md5": len(asked.body) // 16}, "matches": [], "invalid": []}


BUSY = Reply(503, {"detail": "starting"}, {"Retry-After": "0"})
DIGEST = bytes(16)


def _check(
    asynchronous: bool, url: str, key: str | None = None, *, hashes: int = 1, **options: Any
) -> CheckResult:
    if not asynchronous:
        with Client(url, key, **options) as client:
            return client.check(md5=[DIGEST] * hashes)

    async def run() -> CheckResult:
        async with AsyncClient(url, key, **options) as client:
            return await client.check(md5=[DIGEST] * hashes)

    return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    assert isinstance(request.param, bool)
    return request.param


def _ids(server: Flaky) -> list[str]:
    return [asked.headers["x-request-id"] for asked in server.asked]


def test_a_check_is_sent_again_with_the_same_id_and_body(asynchronous: bool) -> None:
    with flaky(BUSY, Reply(0), Reply(429, b"slow down"), Reply(200, all_missed)) as server:
        assert _check(asynchronous, server.url, "secret").generations == (5,)
        first = server.asked[0]
        assert len(server.asked) == 4
        assert len(set(_ids(server))) == 1
        assert {asked.body for asked in server.asked} == {DIGEST}
        assert (first.method, first.path) == ("POST", "/v2/check?type=md5")
        assert first.headers["content-type"] == "application/octet-stream"
        assert first.headers["authorization"] == "Bearer secret"


def test_the_server_says_how_long_to_wait(asynchronous: bool) -> None:
    with flaky(Reply(503, {}, {"Retry-After": "1"}), Reply(200, all_missed)) as server:
        started = time.monotonic()
        _check(asynchronous, server.url)
        assert time.monotonic() - started >= 1.0


def test_a_server_that_stays_busy_is_given_up_and_not_called_a_refusal(asynchronous: bool) -> None:
    with flaky(BUSY) as server:
        with pytest.raises(ClientError, match=r"\(503\): starting") as raised:
            _check(asynchronous, server.url, retries=3)
        assert not raised.value.refused
        assert len(server.asked) == 4


def test_a_server_that_is_not_there_is_given_up(asynchronous: bool) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ClientError, match=r"cannot be reached: .*; tried 2 times") as raised:
            _check(asynchronous, url, retries=1)
    assert not raised.value.refused


def test_a_server_that_does_not_answer_in_time_is_given_up(asynchronous: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClientError, match="cannot be reached"):
            _check(asynchronous, url, retries=0, timeout=0.2)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_not_tried_again(asynchronous: bool, status: int) -> None:
    with flaky(Reply(status, {"detail": "this key was revoked; ask for another"})) as server:
        with pytest.raises(ClientError, match=rf"\({status}\): this key was revoked; ask for another") as raised:
            _check(asynchronous, server.url, "secret")
        assert raised.value.refused
        assert "secret" not in str(raised.value)
        assert len(server.asked) == 1


def test_every_batch_has_an_id_of_its_own(asynchronous: bool) -> None:
    with flaky(Reply(200, all_missed)) as server:
        _check(asynchronous, server.url, hashes=5, batch=2)
        assert len(set(_ids(server))) == 3
        assert sorted(len(asked.body) for asked in server.asked) == [16, 32, 32]


def test_one_batch_that_is_refused_fails_the_check(asynchronous: bool) -> None:
    with flaky(Reply(200, all_missed), Reply(422, {"detail": "no"})) as server:
        with pytest.raises(ClientError, match="no"):
            _check(asynchronous, server.url, hashes=200, batch=1)
        assert 2 <= len(server.asked) < 200


def test_feedback_is_posted_and_answered(asynchronous: bool) -> None:
    told = {"set": "police", "id": "A-1", "verdict": "false-positive", "note": "a stock picture"}
    with flaky(BUSY, Reply(201, {"feedback": 17})) as server:
        if asynchronous:

            async def run() -> dict[str, Any]:
                async with AsyncClient(server.url) as client:
                    return await client.feedback(**told)  # type: ignore[arg-type]

            assert asyncio.run(run()) == {"feedback": 17}
        else:
            with Client(server.url) as client:
                assert client.feedback(**told) == {"feedback": 17}  # type: ignore[arg-type]
        assert [(asked.method, asked.path) for asked in server.asked] == [("POST", "/v2/feedback")] * 2
        assert json.loads(server.asked[1].body) == told
        assert server.asked[1].headers["content-type"] == "application/json"


def test_feedback_that_may_have_arrived_is_not_sent_twice() -> None:
    with flaky(Reply(0), Reply(200)) as server, Client(server.url) as client:
        with pytest.raises(ClientError, match="it is not known whether it took the request"):
            client.feedback(set="police", id="A-1", verdict="confirmed")
        assert len(server.asked) == 1


def test_a_verdict_that_there_is_not_is_refused_before_anything_is_sent() -> None:
    with flaky(Reply(200)) as server, Client(server.url) as client:
        with pytest.raises(ValueError, match="one of false-positive, confirmed"):
            client.feedback(set="police", id="A-1", verdict="wrong")  # type: ignore[arg-type]
        assert not server.asked


def test_usage_is_what_the_server_answers() -> None:
    usage = {"checked": {"md5": 12}, "hits": 1}
    with flaky(Reply(200, usage)) as server:
        with Client(server.url) as client:
            assert client.usage() == usage

        async def run() -> dict[str, Any]:
            async with AsyncClient(server.url) as client:
                return await client.usage()

        assert asyncio.run(run()) == usage
        assert [(asked.method, asked.path) for asked in server.asked] == [("GET", "/v2/usage")] * 2


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_cannot_be_a_client_is_refused(kind: type[Client] | type[AsyncClient]) -> None:
    with pytest.raises(ClientError, match="API key"):
        kind("http://127.0.0.1", "pass\nword")
    with pytest.raises(ClientError, match="is not the URL of a server"):
        kind("http://127.0.0.1:port")
    with pytest.raises(ValueError, match="at least one"):
        kind("http://127.0.0.1", batch=0)


def test_a_url_without_a_scheme_is_refused_at_once(asynchronous: bool) -> None:
    with pytest.raises(ClientError, match="start it with http://"):
        _check(asynchronous, "hashes.example.org")


def test_a_check_that_is_cancelled_leaves_no_task_behind() -> None:
    async def run(url: str) -> int:
        async with AsyncClient(url, batch=1) as client:
            check = asyncio.ensure_future(client.check(md5=[DIGEST] * 10))
            await asyncio.sleep(0.3)
            check.cancel()
            with pytest.raises(asyncio.CancelledError):
                await check
            return len(asyncio.all_tasks())

    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert asyncio.run(run(f"http://127.0.0.1:{silent.getsockname()[1]}")) == 1


def test_threads_share_a_client() -> None:
    with flaky(Reply(200, all_missed)) as server, Client(server.url, connections=2) as client:
        answers: list[CheckResult] = []
        threads = [threading.Thread(target=lambda: answers.append(client.check(md5=[DIGEST]))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert len(set(_ids(server))) == 8
