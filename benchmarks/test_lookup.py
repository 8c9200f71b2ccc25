"""Exact lookup in process, batches of 10,000, one in a thousand known, beside lmdb's getmulti."""

from __future__ import annotations

import time
from pathlib import Path

import lmdb
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.support import Ratios, blocks_of, full_only, queries_with_hits, random_digests
from hashcore import Store, hash_type

BATCH = 10_000
QUERIES = 4_000_000
MD5 = hash_type("md5")


@pytest.fixture(scope="module")
def plain_lmdb(tmp_path_factory: pytest.TempPathFactory, md5s: NDArray[np.uint8]) -> lmdb.Environment:
    """The same hashes as plain keys, appended in order."""
    environment = lmdb.open(str(tmp_path_factory.mktemp("plain")), map_size=4 << 30, sync=False)
    ordered = sorted(map(bytes, md5s))
    with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
        cursor.putmulti(((key, b"") for key in ordered), append=True)
    return environment


def check_all(store: Store, queries: NDArray[np.uint8]) -> int:
    hits = 0
    with store.read() as snapshot:
        for start in range(0, len(queries), BATCH):
            hits += len(snapshot.match(MD5, queries[start : start + BATCH]))
    return hits


def rate_of_getmulti(environment: lmdb.Environment, queries: NDArray[np.uint8]) -> float:
    keys = [bytes(query) for query in queries[:200_000]]
    began = time.perf_counter()
    found = 0
    with environment.begin() as transaction, transaction.cursor() as cursor:
        for start in range(0, len(keys), BATCH):
            found += len(cursor.getmulti(keys[start : start + BATCH]))
    assert found == 200
    return len(keys) / (time.perf_counter() - began)


def test_exact_lookup_10_million(
    benchmark, store_folder: Path, md5s: NDArray[np.uint8], plain_lmdb: lmdb.Environment, ratios: Ratios
) -> None:
    queries = np.concatenate([queries_with_hits(md5s, QUERIES // 20, seed) for seed in range(20)])
    peer = max(rate_of_getmulti(plain_lmdb, queries) for _ in range(3))
    with Store(store_folder) as store:
        hits = benchmark.pedantic(check_all, (store, queries), rounds=5, warmup_rounds=1)
    assert hits == QUERIES // 1000
    ours = QUERIES / benchmark.stats.stats.median
    ratios.figure("exact lookup, 10 M MD5, one core", ours / 1e6, "M/s")
    ratios.figure("  lmdb getmulti", peer / 1e6, "M/s")
    ratios.compare("  ours beside getmulti", ours, peer, floor=20)


@full_only
def test_exact_lookup_100_million(benchmark, tmp_path: Path, ratios: Ratios) -> None:
    known = random_digests(100_000_000, 16, 4)
    with Store(tmp_path / "data") as store:
        began = time.perf_counter()
        store.load("known", blocks_of(known, "md5"), now=0.0)
        ratios.figure("load of 100 M MD5 from arrays", 100 / (time.perf_counter() - began), "M/s")
        ratios.figure("  bytes a hash on disk", store.bytes_used / len(known), "B")
        assert store.bytes_used <= 24 * len(known)
        queries = queries_with_hits(known, QUERIES, 5)
        del known
        hits = benchmark.pedantic(check_all, (store, queries), rounds=5, warmup_rounds=1)
    assert hits == QUERIES // 1000
    ratios.figure("exact lookup, 100 M MD5, one core", QUERIES / benchmark.stats.stats.median / 1e6, "M/s")
