"""The real command and the real server, for tests from end to end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hashserver.server import child
from hashserver.server.child import Child, children_of, plain_environment

COMMAND = [sys.executable, "-m", "hashserver"]
_PATIENCE = 60.0


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
    """Load a listing into a set with the command, and return its summary."""
    content = listing.encode() if isinstance(listing, str) else listing
    arguments = ("load", "-", "--set", name, "--data-dir", data_dir, "--json", *options)
    ran = run(*arguments, cwd=data_dir.parent, stdin=content)
    assert ran.code == 0, ran.err
    summary = ran.json
    assert isinstance(summary, dict)
    return summary


def eventually(holds: Callable[[], Any], within: float = _PATIENCE) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + within
    while True:
        value = holds()
        if value or time.monotonic() > deadline:
            assert value, f"not within {within} s"
            return value
        time.sleep(0.02)


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
            socket = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        except FileNotFoundError:
            continue
        if socket:
            found.add(socket[1])
    return found


@contextmanager
def serving(
    data_dir: Path, *, workers: int = 1, port: int = 0, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that is ready to answer, on a port of the system's choice unless one is named."""
    with child.serving(data_dir, workers=workers, port=port, env=env, patience=_PATIENCE) as started:
        yield Server(started.process, started.url, started.log_file, started.seconds)
