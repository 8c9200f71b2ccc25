"""A broken or hostile server takes neither the memory nor the time of those who ask it."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

import pytest
from flaky import Asked, Reply, flaky

from hashserver.client import AsyncClient, Client, ClientError
from hashserver.client.bounds import MOST_BYTES, most_bytes, read_json

MEBIBYTE = b" " * (1 << 20)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def sending(pieces: Callable[[], Iterator[bytes]], pause: float = 0) -> Iterator[str]:
    """A server that reads each request and sends pieces; its URL."""
    stopped = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as request, suppress(OSError):
            headers = dict(line.lower().split(b": ") for line in iter(request.readline, b"\r\n") if b": " in line)
            request.read(int(headers.get(b"content-length", 0)))
            for piece in pieces():
                if stopped.wait(pause) if pause else stopped.is_set():
                    return
                connection.sendall(piece)

    def take() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def endless() -> Iterator[bytes]:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    yield from repeat(b"100000\r\n" + MEBIBYTE + b"\r\n")


def endless_until_it_closes() -> Iterator[bytes]:
    yield HEAD + b"\r\n"
    yield from repeat(MEBIBYTE)


def promised() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 10000000000\r\n\r\n"
    yield from repeat(MEBIBYTE)


def bomb() -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(MEBIBYTE) for _ in range(500)) + packer.flush()
    yield HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


def many_values() -> Iterator[bytes]:
    body = b"[" + b"[]," * 2_600_000 + b"[]]"
    yield HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def deep() -> Iterator[bytes]:
    body = b'{"generation":' + b"[" * 400_000 + b"]" * 400_000 + b"}"
    yield HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (endless, "more than .* bytes"),
        (endless_until_it_closes, "more than .* bytes"),
        (promised, "more than .* bytes"),
        (bomb, "compressed"),
        (many_values, "values"),
        (deep, "not JSON"),
    ],
)
def test_an_answer_without_end_takes_little_memory(pieces: Callable[[], Iterator[bytes]], words: str) -> None:
    with sending(pieces) as url, Client(url, retries=0) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        try:
            for ask in (client.sets, client.usage, lambda: client.check(md5=[bytes(16)] * 50_000)):
                with pytest.raises(ClientError, match=words):
                    ask()
            assert tracemalloc.get_traced_memory()[1] < 200 << 20
        finally:
            tracemalloc.stop()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def dripping_body() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 100000\r\n\r\n"
    yield from repeat(b" ")


def dripping_headers() -> Iterator[bytes]:
    yield HEAD + b"X-Drip: "
    yield from repeat(b"x")


@pytest.mark.parametrize("pieces", [dripping_body, dripping_headers])
def test_an_answer_that_drips_is_given_up_in_time(pieces: Callable[[], Iterator[bytes]]) -> None:
    async def ask(url: str) -> None:
        async with AsyncClient(url, retries=0, timeout=1.0) as client:
            await client.sets()

    with sending(pieces, pause=0.1) as url:
        for run in (lambda: asyncio.run(ask(url)), Client(url, retries=0, timeout=1.0).sets):
            started = time.monotonic()
            with pytest.raises(ClientError, match="no complete answer within 1 s"):
                run()
            assert time.monotonic() - started < 10


def test_patience_is_for_all_tries_together() -> None:
    with flaky(Reply(503, {"detail": "starting"}, {"Retry-After": "3"})) as server:
        started = time.monotonic()
        with Client(server.url, patience=1) as client, pytest.raises(ClientError, match="starting"):
            client.sets()
        assert time.monotonic() - started < 3
        assert len(server.asked) == 1


def test_an_answer_too_large_for_one_batch_is_asked_in_parts() -> None:
    known = bytes(range(16))
    entries = [{"set": "police", "category": "x" * 2000, "id": None}] * 1000

    def answer(asked: Asked) -> dict[str, object]:
        hashes = [asked.body[place : place + 16] for place in range(0, len(asked.body), 16)]
        matches = [
            {"type": "md5", "index": index, "hash": digest.hex(), "distance": 0, "entries": entries}
            for index, digest in enumerate(hashes)
            if digest == known
        ]
        return {"generation": 1, "checked": {"md5": len(hashes)}, "matches": matches, "invalid": []}

    digests = [bytes([number]) * 16 for number in range(1, 60)] + [known] * 6
    with flaky(Reply(200, answer)) as server, Client(server.url) as client:
        result = client.check(md5=digests)
    assert [match.index for match in result.matches] == list(range(59, 65))
    assert result.checked == {"md5": 65}
    assert len(server.asked) > 2


def test_bounds_follow_from_what_was_asked() -> None:
    assert most_bytes(0) < most_bytes(1000) < most_bytes(10**9) == MOST_BYTES
    assert read_json(json.dumps({"a": ["x" * 100, 1]}).encode(), "http://x") == {"a": ["x" * 100, 1]}
    assert read_json(b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "http://x") is None
