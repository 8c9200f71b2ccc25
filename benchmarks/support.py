"""Shared by the benchmarks: data, peers, and the table of ratios that is printed at the end.

`HASHSERVER_BENCH=quick` leaves out what takes minutes. Speeds here are compared within one run,
because machines differ and are noisy: every figure of ours stands beside a peer's from the same
minute.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hashcore import HashColumn, Rows
from hashserver.server.child import Child, running

QUICK = os.environ.get("HASHSERVER_BENCH") == "quick"
ENTRIES = 10_000_000
HIT_RATE = 1000  # one check in so many is a hit

full_only = pytest.mark.skipif(QUICK, reason="takes minutes; run make bench")


@dataclass
class Ratios:
    """Figures of this run, and the floors that they must not fall below."""

    lines: list[str] = field(default_factory=list)

    def figure(self, name: str, value: float, unit: str) -> None:
        """Note a figure of ours."""
        self.lines.append(f"{name:<66} {value:10.2f} {unit}")

    def compare(self, name: str, ours: float, peer: float, *, floor: float) -> None:
        """Note how many times a peer's figure ours is, and fail below the floor."""
        ratio = ours / peer
        self.lines.append(f"{name:<66} {ratio:10.2f} x   (floor {floor:g} x)")
        assert ratio >= floor, f"{name}: {ratio:.2f} x, below the floor of {floor} x"


RATIOS = Ratios()


def random_digests(n: int, width: int, seed: int) -> NDArray[np.uint8]:
    """uint8[n, width]."""
    return np.frombuffer(np.random.default_rng(seed).bytes(n * width), np.uint8).reshape(n, width)


def blocks_of(digests: NDArray[np.uint8], kind: str) -> Iterator[Rows]:
    """Rows of one hash column, a million at a time."""
    for start in range(0, len(digests), 1 << 20):
        part = digests[start : start + (1 << 20)]
        yield Rows(np.arange(start, start + len(part), dtype=np.int64), {kind: HashColumn(part)})


def queries_with_hits(known: NDArray[np.uint8], n: int, seed: int) -> NDArray[np.uint8]:
    """uint8[n, width], of which one in HIT_RATE is known."""
    random = np.random.default_rng([seed, n])  # a stream of its own: the known digests come from seeds, too
    queries = random.integers(0, 256, (n, known.shape[1]), np.uint8)
    hits = random.choice(n, max(1, n // HIT_RATE), replace=False)
    queries[hits] = known[random.integers(0, len(known), len(hits))]
    return queries


@contextmanager
def serving_peer(script: str, folder: Path) -> Iterator[Child]:
    """A server to compare ours with, until the block ends.

    Args:
        script: beside this file.
        folder: with its data, which it is told.
    """
    command = [sys.executable, str(Path(__file__).with_name(script)), str(folder)]
    with running(command, folder.with_suffix(f".{Path(script).stem}.log")) as child:
        yield child
