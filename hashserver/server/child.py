"""A server in a process of its own: for `hashserver bench`, the demo, benchmarks and tests.

This module starts the command and watches it; it imports nothing of the server.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from hashserver.errors import Trouble

PATIENCE = 120.0
"""Seconds for a server to start, which compiles its kernels the first time."""
GRACE = 60.0
"""Seconds for a server to answer what it has begun, and to end."""

_LOOK_SECONDS = 0.01


class NotStarted(Trouble):
    """A server ended, or was not ready in time; the message quotes the last line of its log."""


class Child:
    """A server that runs as a child of this process and is ready to answer.

    Args:
        process: the command that was started.
        url: what its first line of output names.
        log_file: where its standard error goes.
        seconds: from its start until it was ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_file: Path, seconds: float) -> None:
        self.process, self.url, self.log_file, self.seconds = process, url, log_file, seconds

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return self.log_file.read_text("utf-8", "replace")

    def stop(self, grace: float = GRACE) -> int:
        """Ask it to end, as a service manager does, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(grace)


def plain_environment() -> dict[str, str]:
    """The environment of this process without its hashserver settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HASHSERVER_")}


@contextmanager
def serving(
    data_dir: Path,
    *,
    workers: int = 1,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> Iterator[Child]:
    """Run `hashserver serve` on this machine's loopback address until the block ends.

    Args:
        data_dir: its data folder. The log is written beside it, with the suffix `.log`.
        workers: number of server processes.
        port: to listen on; 0 lets the system choose.
        env: settings and other variables. No setting is taken from the environment of this process.
        patience: seconds to wait for it to be ready.

    Raises:
        NotStarted: it ended or was not ready in time.
    """
    data_dir = data_dir.resolve()
    command = [sys.executable, "-m", "hashserver", "serve", "--new", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(workers), "--data-dir", str(data_dir)]
    # The folder above it: away from any hashserver.toml of the folder that we are in.
    folder, log_file = data_dir.parent, data_dir.with_suffix(".log")
    with running(command, log_file, folder=folder, env=env, patience=patience) as child:
        yield child


@contextmanager
def running(
    command: Sequence[str],
    log_file: Path,
    *,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
    grace: float = GRACE,
) -> Iterator[Child]:
    """Run any server until the block ends.

    Args:
        command: of a server that prints its URL on the first line, and answers `/readyz` with 200
            when it is ready.
        log_file: for its standard error.
        folder: to run it in; that of this process when None.
        env: variables in addition to those of `plain_environment`.
        patience: seconds to wait for it to be ready.
        grace: seconds to wait for it to end, before it is killed.

    Raises:
        NotStarted: it ended or was not ready in time.
    """
    began = time.perf_counter()
    with log_file.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=plain_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    # A server that hangs before it says where it listens must not hang its parent.
    watchdog = threading.Timer(patience, _kill, (process,))
    watchdog.daemon = True
    watchdog.start()
    try:
        assert process.stdout is not None
        named = re.search(rb"http://\S+", process.stdout.readline())
        if named is None or not _becomes_ready(url := named[0].decode(), process):
            raise NotStarted(_why_not(process, log_file, patience))
        watchdog.cancel()
        yield Child(process, url, log_file, time.perf_counter() - began)
    finally:
        watchdog.cancel()
        _end(process, grace)


def _becomes_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server is ready; False when it ends first, which the watchdog sees to."""
    address = urlsplit(url)
    while process.poll() is None:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return True
        connection.close()
        time.sleep(_LOOK_SECONDS)
    return False


def _why_not(process: subprocess.Popen[bytes], log_file: Path, patience: float) -> str:
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # its output ends a moment before it does
    late = process.poll() == -signal.SIGKILL
    what = f"was not ready within {patience:g} s" if late else "did not start"
    last = (log_file.read_text("utf-8", "replace").strip().splitlines() or ["it logged nothing"])[-1]
    return f"the server {what}: {last}"


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a server and its workers at once."""
    for pid in [*children_of(process.pid), process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that live; none where there is no /proc."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]
