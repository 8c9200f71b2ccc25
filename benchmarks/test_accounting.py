"""What parties and ledger cost: the batch check with a key and every hit on disk, beside the bare one."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.http_load import load, request
from benchmarks.support import QUICK, Ratios, running, serve
from benchmarks.test_http import BODIES
from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.parties.admin import PartyAdmin

TURNS, SECONDS = (4, 1.5) if QUICK else (10, 2.0)
HASHES, HITS = 10_000, 4  # 0.04 %, the rate of the model service


@pytest.fixture(scope="module")
def accounted(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the store, with a party; others measure the store without."""
    folder = tmp_path_factory.mktemp("accounted") / "data"
    shutil.copytree(store_folder, folder)
    with Ledger(folder) as ledger:
        return folder, PartyAdmin(ledger, "user bench").add("Example Hosting")


@pytest.fixture(scope="module")
def urls(store_folder: Path, accounted: tuple[Path, str]) -> Iterator[tuple[str, str]]:
    bare = [str(Path(__file__).with_name("bare_server.py")), str(store_folder)]
    with running(bare) as (bare_url, _), running(serve(accounted[0])) as (our_url, _):
        yield our_url, bare_url


def few_hits(md5s: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng([seed, 4])
    queries = random.integers(0, 256, (HASHES, 16), np.uint8)
    queries[random.choice(HASHES, HITS, replace=False)] = md5s[random.integers(0, len(md5s), HITS)]
    return queries


@pytest.mark.parametrize(
    ("content_type", "name", "floor"),
    [("application/json", "JSON", 0.7), ("application/octet-stream", "packed", 0.55)],
)
def test_cost_of_accounting(
    urls: tuple[str, str],
    accounted: tuple[Path, str],
    md5s: NDArray[np.uint8],
    ratios: Ratios,
    content_type: str,
    name: str,
    floor: float,
) -> None:
    """The floors are for a noisy machine on which client and server share two cores."""
    bodies = [BODIES[content_type](few_hits(md5s, seed)) for seed in range(16)]
    key = f"Authorization: Bearer {accounted[1]}"
    requests = [request("/v2/check?type=md5", content_type, body, key) for body in bodies]
    before = _hits(accounted[0])
    shares = []
    rates = []
    answered = 0
    for turn in range(TURNS + 1):  # in turns: the machine's speed changes from minute to minute
        outcome = load(urls[0], requests, HASHES, seconds=SECONDS, connections=8)
        bare = load(urls[1], requests, HASHES, seconds=SECONDS, connections=8)
        answered += outcome.hashes // HASHES
        if turn:  # the first one warms up
            shares.append(outcome.rate / bare.rate)
            rates.append(outcome.rate)
    assert _hits(accounted[0]) - before == HITS * answered
    ratios.figure(f"accounted {name}, 10,000 a request, 0.04 % hits, 8 connections", max(rates) / 1e6, "M/s")
    ratios.compare("  beside the bare check", statistics.median(shares), 1.0, floor=floor)


def _hits(folder: Path) -> int:
    with Ledger(folder) as ledger:
        fold(ledger)
        return int(ledger.connection.execute("SELECT count(*) FROM hits").fetchone()[0])
