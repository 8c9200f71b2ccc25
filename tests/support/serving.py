"""The real command and the real server, for tests from end to end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from hashserver.server import child
from hashserver.server.child import Child, children_of, plain_environment

COMMAND = [sys.executable, "-m", "hashserver"]
_PATIENCE = 60.0
_LONGEST_LOOK = 0.1
Answer = TypeVar("Answer")


def md5_of(text: str) -> str:
    """A hash to put into a set, or to ask about."""
    return hashlib.md5(text.encode()).hexdigest()


def environment(**extra: str) -> dict[str, str]:
    """This environment without its hashserver settings, for output that is as wide everywhere."""
    return plain_environment() | {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"} | extra


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output, read as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def start(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command and do not wait for it; see `finish`."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes], stdin: bytes = b"") -> Ran:
    """Wait for a command that was started."""
    try:
        out, err = process.communicate(stdin, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ran(process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "replace"))


def run(*arguments: object, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    return finish(start(*arguments, cwd=cwd, env=env), stdin)


def load(data_dir: Path, name: str, listing: str | bytes, *options: object) -> dict[str, Any]:
    """Load a listing into a set with the command, whatever it removes, and return its summary."""
    content = listing.encode() if isinstance(listing, str) else listing
    arguments = ("load", "-", "--set", name, "--data-dir", data_dir, "--json", "--force", *options)
    ran = run(*arguments, cwd=data_dir.parent, stdin=content)
    assert ran.code == 0, ran.err
    summary = ran.json
    assert isinstance(summary, dict)
    return summary


def eventually(holds: Callable[[], Answer], within: float = _PATIENCE) -> Answer:
    """Wait until something is true, and return it.

    Args:
        holds: looks whether it is.
        within: seconds. A look counts as a tenth of a second at most: one that takes longer was
            held up by other work on this machine, and so was what it looks for.
    """
    spent = 0.0
    while True:
        began = time.monotonic()
        value = holds()
        if value:
            return value
        assert spent <= within, f"not within {within} s"
        time.sleep(0.02)
        spent += min(time.monotonic() - began, _LONGEST_LOOK)


def port_of(client: httpx.Client) -> int:
    """Our port of the one connection that a client holds."""
    stream = client._transport._pool.connections[0]._connection._network_stream  # type: ignore[attr-defined]
    return int(stream.get_extra_info("socket").getsockname()[1])


def free_port() -> int:
    """A port for a server that is started again: one that the system gives to nobody by itself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in range(lowest - 1 - os.getpid() % 10_000, 1024, -1):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


class Server(Child):
    """A server that is running."""

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client of it."""
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def worker_of(self, client_port: int) -> int:
        """The process that holds the other end of a connection of ours."""
        inode = _inode(self.port, client_port)
        for pid in [self.process.pid, *children_of(self.process.pid)]:
            if inode in _open_sockets(pid):
                return pid
        raise AssertionError(f"no process of the server holds the connection from port {client_port}")

    def each_worker(
        self, ask: Callable[[httpx.Client], Answer], *, workers: int = 2, **options: Any
    ) -> list[Answer]:
        """What every worker answers now.

        Args:
            ask: asks with a client whose one connection a worker holds.
            workers: how many there are.
            options: of the clients.
        """
        answers: dict[int, Answer] = {}
        with ExitStack() as stack:

            def next_answer() -> bool:
                client = stack.enter_context(self.client(**options))
                client.get("/healthz")
                worker = self.worker_of(port_of(client))
                if worker not in answers:
                    answers[worker] = ask(client)
                return len(answers) == workers

            eventually(next_answer)
        return list(answers.values())


def _inode(server_port: int, client_port: int) -> str:
    def connection() -> str | None:
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = row.split()
            local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            if (local, remote) == (server_port, client_port) and fields[9] != "0":
                return fields[9]
        return None

    inode = eventually(connection)
    assert isinstance(inode, str)
    return inode


def _open_sockets(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        except FileNotFoundError:
            continue
        if held:
            found.add(held[1])
    return found


@contextmanager
def serving(
    data_dir: Path, *, workers: int = 1, port: int = 0, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that is ready to answer, on a port of the system's choice unless one is named."""
    with child.serving(data_dir, workers=workers, port=port, env=env, patience=_PATIENCE) as started:
        yield Server(started.process, started.url, started.log_file, started.seconds)
