"""Loads made by `wrk`, which leaves most of two shared processors to the server."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_wrk = pytest.mark.skipif(
    shutil.which("wrk") is None, reason="wrk is not installed (Debian: apt-get install wrk)"
)


@dataclass(frozen=True)
class Figures:
    """What wrk saw: requests, requests a second, and the 99th percentile of latency in ms."""

    requests: int
    rate: float
    p99: float


def wrk(url: str, script: str, *arguments: str, connections: int, seconds: int) -> Figures:
    """Load an address for some seconds; every request must be answered with 200.

    Args:
        url: to load.
        script: a file beside this one that prints `figures` at its end.
        arguments: of the script.
        connections: that are kept open, with a request on each.
        seconds: whole ones.
    """
    file = str(Path(__file__).with_name(script))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file, url, "--", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in ran.stdout.splitlines() if line.startswith("figures "))
    requests, microseconds, p99, errors = map(int, line.split()[1:])
    assert requests > 0
    assert errors == 0, ran.stdout
    return Figures(requests, requests / (microseconds / 1e6), p99 / 1e3)
