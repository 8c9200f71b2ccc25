"""PhotoDNA: the scanner of byte vectors beside FAISS's flat index and numpy, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.support import QUICK, Ratios
from hashcore import Rule, hash_type
from hashcore.arrays.columns import Column
from hashcore.near.nearest import find_within

RADIUS = hash_type("photodna").default_distance
ENTRIES = 200_000 if QUICK else 1_000_000
QUERIES = 1000


def vectors(n: int, seed: int) -> NDArray[np.uint8]:
    """Small for the most part, as sums of gradients are; two are some 700 apart."""
    return np.minimum(255, np.random.default_rng(seed).exponential(42, (n, 144))).astype(np.uint8)


def seconds_of(work: Callable[[], object], turns: int) -> float:
    best = float("inf")
    for _ in range(turns):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def test_scanner(ratios: Ratios) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes, queries = vectors(ENTRIES, 1), vectors(QUERIES, 2)
    known = np.random.default_rng(3).integers(0, ENTRIES, QUERIES // 2)
    queries[::2] = np.clip(
        codes[known].astype(int) + np.random.default_rng(4).integers(-10, 11, (500, 144)), 0, 255
    )
    column = Column.of(codes)

    def search(n: int) -> int:
        return len(find_within(column, None, queries[:n], RADIUS, rule=Rule.EUCLIDEAN))

    assert search(20) == 10
    ours = ENTRIES * QUERIES / seconds_of(lambda: search(QUERIES), 3)
    single = ENTRIES / seconds_of(lambda: search(1), 5)
    # The worst that can be: vectors so near to one another that no block is ruled out early.
    crowd = Column.of(np.random.default_rng(5).integers(100, 132, (ENTRIES // 4, 144), np.uint8))
    far = np.random.default_rng(6).integers(118, 150, (200, 144), np.uint8)

    def search_crowd() -> int:
        return len(find_within(crowd, None, far, 160, rule=Rule.EUCLIDEAN))

    worst = len(crowd) * len(far) / seconds_of(search_crowd, 2)

    flat = faiss.IndexFlatL2(144)
    flat.add(codes.astype(np.float32))
    few = queries[:100].astype(np.float32)
    found = flat.range_search(few, RADIUS**2 + 0.5)[1]
    assert len(found) == search(100)
    peer = ENTRIES * len(few) / seconds_of(lambda: flat.range_search(few, RADIUS**2 + 0.5), 2)
    # FAISS hands batches of 20 queries and more to a matrix product, which rounds; one by one it is
    # exact.
    one = ENTRIES / seconds_of(lambda: flat.range_search(few[:1], RADIUS**2 + 0.5), 3)

    small = codes[:20_000].astype(np.int32)

    def obvious() -> int:
        return sum(
            np.count_nonzero(((small - q) ** 2).sum(axis=1) <= RADIUS**2) for q in queries[:5].astype(np.int32)
        )

    plain = 5 * len(small) / seconds_of(obvious, 2)
    ratios.figure(f"PhotoDNA scan, {ENTRIES:,} entries, batches of {QUERIES:,}", ours / 1e6, "M/s")
    ratios.figure("  of which no block is ruled out early", worst / 1e6, "M/s")
    ratios.figure("  one query at a time", single / 1e6, "M/s")
    ratios.figure("  FAISS IndexFlatL2, batches of 100", peer / 1e6, "M/s")
    ratios.figure("  FAISS IndexFlatL2, one query at a time", one / 1e6, "M/s")
    ratios.figure("  numpy", plain / 1e6, "M/s")
    ratios.compare("  beside FAISS flat, batches", ours, peer, floor=10)
    ratios.compare("  beside FAISS flat, one query at a time", single, one, floor=1.5)
    ratios.compare("  beside numpy", ours, plain, floor=50)
    ratios.compare("  beside 100 M comparisons a second", ours, 1e8, floor=1)
