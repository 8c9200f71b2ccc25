"""One bare hash a request over 64 keep-alive connections, with a party, its key and the ledger."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.support import QUICK, Ratios, blocks_of, random_digests, serving_peer
from benchmarks.wrk import Figures, needs_wrk, wrk
from hashcore import Store
from hashserver.ledger import Ledger
from hashserver.ledger.publications import add_ledger
from hashserver.parties.admin import PartyAdmin
from hashserver.server.child import serving

pytestmark = needs_wrk

KNOWN = 1_000_000
QUERIES = 20_000
HITS = 100  # one request in so many
SECONDS = 4 if QUICK else 10
CONNECTIONS = 64


@dataclass(frozen=True)
class Served:
    """A data folder with a party, and the header with its key."""

    folder: Path
    authorization: str


def best_of_two(url: str, queries: Path, authorization: str) -> Figures:
    """The faster of two turns, after a short one that warms up."""

    def turn(seconds: int) -> Figures:
        arguments = (str(queries), authorization)
        return wrk(url, "single_hash.lua", *arguments, connections=CONNECTIONS, seconds=seconds)

    turn(1)
    return max((turn(SECONDS) for _ in range(2)), key=lambda figures: figures.rate)


@pytest.fixture(scope="module")
def digests() -> dict[str, NDArray[np.uint8]]:
    return {"md5": random_digests(KNOWN, 16, 11), "pdq": random_digests(KNOWN // 10, 32, 12)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, digests: dict[str, NDArray[np.uint8]]) -> Served:
    folder = tmp_path_factory.mktemp("single") / "data"
    with Store(folder) as store:
        for kind, known in digests.items():
            store.load(f"known {kind}", blocks_of(known, kind), now=0.0)
        add_ledger(store)
    with Ledger(folder) as ledger:
        key = PartyAdmin(ledger, "benchmark").add("Example Hosting")
    return Served(folder, "Basic " + base64.b64encode(f"Example Hosting:{key}".encode()).decode())


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory, digests: dict[str, NDArray[np.uint8]]) -> dict[str, Path]:
    """By type, a file of hashes of which one in HITS is known."""
    files = {}
    for kind, known in digests.items():
        random = np.random.default_rng([13, known.shape[1]])
        asked = random.integers(0, 256, (QUERIES, known.shape[1]), np.uint8)
        hits = random.choice(QUERIES, QUERIES // HITS, replace=False)
        asked[hits] = known[random.integers(0, len(known), len(hits))]
        files[kind] = tmp_path_factory.mktemp("queries") / kind
        files[kind].write_text("".join(f"{bytes(digest).hex()}\n" for digest in asked))
    return files


@pytest.fixture(scope="module")
def peer(
    tmp_path_factory: pytest.TempPathFactory, digests: dict[str, NDArray[np.uint8]], queries: dict[str, Path]
) -> Figures:
    folder = tmp_path_factory.mktemp("single-peer")
    environment = lmdb.open(str(folder), map_size=1 << 30, sync=False)
    with environment, environment.begin(write=True) as transaction, transaction.cursor() as cursor:
        cursor.putmulti((bytes(digest), b"") for digest in digests["md5"])
    with serving_peer("single_peer.py", folder) as child:
        return best_of_two(f"{child.url}/v1/check/md5", queries["md5"], "none")


@pytest.mark.parametrize(("kind", "floor"), [("md5", 0.9), ("pdq", 0.5)])
def test_single_hash(
    served: Served, queries: dict[str, Path], peer: Figures, ratios: Ratios, kind: str, floor: float
) -> None:
    """Ours does more: it authenticates, counts, and has each hit on disk before it answers."""
    with serving(served.folder) as child:
        address = f"{child.url}/v1/check/{kind}"
        figures = best_of_two(address, queries[kind], served.authorization)
    name = f"POST /v1/check/{kind}, one hash a request, 1 % hits"
    ratios.figure(name, figures.rate, "requests/s")
    ratios.figure("  p99", figures.p99, "ms")
    ratios.compare("  beside bare FastAPI + lmdb get", figures.rate, peer.rate, floor=floor)
    ratios.compare("  its p99 in units of ours", peer.p99, figures.p99, floor=0.2)
