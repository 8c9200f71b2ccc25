"""A small real HTTP server that gives prepared answers, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer; a status of 0 breaks the connection off instead.

    A body that can be called makes the body of what was asked.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self, asked: Asked) -> bytes:
        """The body as sent: JSON, unless it is bytes already."""
        body = self.body(asked) if callable(self.body) else self.body
        return body if isinstance(body, bytes) else json.dumps(body).encode()


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Flaky:
    """The server: where it is, and what it has been asked."""

    url: str
    asked: list[Asked]


@contextmanager
def flaky(*replies: Reply) -> Iterator[Flaky]:
    """Serve replies one after the other; the last one again and again."""
    asked: list[Asked] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(replies, asked, threading.Lock()))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Flaky(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(replies: Sequence[Reply], asked: list[Asked], lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                reply = replies[min(len(asked), len(replies) - 1)]
                asked.append(Asked(self.command, self.path, headers, body))
                content = reply.content(asked[-1])
            if not reply.status:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
