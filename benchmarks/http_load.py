"""A bounded load over keep-alive connections, with as little work for the client as possible."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Outcome:
    """What a load came to: hashes and requests answered, seconds, and seconds a request."""

    hashes: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Hashes a second."""
        return self.hashes / self.seconds


def request(path: str, content_type: str, body: bytes, *headers: str) -> bytes:
    """A request as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_response(connection: socket.socket) -> bytes:
    """Read one response, and return its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(1 << 16)
        if not more:
            raise ConnectionError("the server closed the connection")
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(head + body)
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return body


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((str(parts.hostname), parts.port or 80), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def load(url: str, requests: list[bytes], hashes: int, *, seconds: float, connections: int) -> Outcome:
    """Send requests of `hashes` hashes each, one after another on each connection."""
    outcome = Outcome()
    lock = threading.Lock()
    end = time.perf_counter() + seconds

    def lane(first: int) -> None:
        with connect(url) as connection:
            turn = first
            while time.perf_counter() < end:
                began = time.perf_counter()
                connection.sendall(requests[turn % len(requests)])
                read_response(connection)
                turn += 1
                with lock:
                    outcome.hashes += hashes
                    outcome.latencies.append(time.perf_counter() - began)

    lanes = [threading.Thread(target=lane, args=(number,)) for number in range(connections)]
    began = time.perf_counter()
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    outcome.seconds = time.perf_counter() - began
    return outcome
