"""What parties and ledger cost: the check with a key and each hit on disk, beside the bare one."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.http_load import request
from benchmarks.support import QUICK, Ratios, serving_peer
from benchmarks.test_http import BODIES
from benchmarks.wrk import Figures, needs_wrk, wrk
from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.parties.admin import PartyAdmin
from hashserver.server.child import serving

pytestmark = needs_wrk

TURNS, SECONDS = 4 if QUICK else 10, 2
CONNECTIONS, BODIES_ASKED = 8, 16
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
    with serving_peer("bare_server.py", store_folder) as bare, serving(accounted[0]) as ours:
        yield ours.url, bare.url


def few_hits(md5s: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng([seed, 4])
    queries = random.integers(0, 256, (HASHES, 16), np.uint8)
    queries[random.choice(HASHES, HITS, replace=False)] = md5s[random.integers(0, len(md5s), HITS)]
    return queries


@pytest.mark.parametrize(
    ("content_type", "name", "floor"),
    [("application/json", "JSON", 0.75), ("application/octet-stream", "packed", 0.7)],
)
def test_cost_of_accounting(
    urls: tuple[str, str],
    accounted: tuple[Path, str],
    md5s: NDArray[np.uint8],
    ratios: Ratios,
    tmp_path: Path,
    content_type: str,
    name: str,
    floor: float,
) -> None:
    """The floors are for a noisy machine on which client and server share two cores."""
    key = f"Authorization: Bearer {accounted[1]}"
    for number in range(BODIES_ASKED):
        body = BODIES[content_type](few_hits(md5s, number))
        (tmp_path / str(number)).write_bytes(request("/v2/check?type=md5", content_type, body, key))

    def turn(url: str) -> Figures:
        arguments = (str(tmp_path), str(BODIES_ASKED))
        return wrk(url, "bodies.lua", *arguments, connections=CONNECTIONS, seconds=SECONDS)

    before = _hits(accounted[0])
    shares = []
    rates = []
    answered = 0
    for number in range(TURNS + 1):  # in turns: the machine's speed changes from minute to minute
        ours, bare = turn(urls[0]), turn(urls[1])
        answered += ours.requests
        if number:  # the first one warms up
            shares.append(ours.rate / bare.rate)
            rates.append(HASHES * ours.rate)
    # A turn ends with a request on every connection, whose answers wrk does not wait for.
    unseen = _hits(accounted[0]) - before - HITS * answered
    assert 0 <= unseen <= HITS * CONNECTIONS * (TURNS + 1)
    ratios.figure(f"accounted {name}, 10,000 a request, 0.04 % hits, 8 connections", max(rates) / 1e6, "M/s")
    ratios.compare("  beside the bare check", statistics.median(shares), 1.0, floor=floor)


def _hits(folder: Path) -> int:
    with Ledger(folder) as ledger:
        fold(ledger)
        return int(ledger.connection.execute("SELECT count(*) FROM matches").fetchone()[0])
