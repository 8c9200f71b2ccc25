"""The batch check over HTTP: one worker, one client process, beside FastAPI and getmulti."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from benchmarks.http_load import connect, load, read_response, request
from benchmarks.support import QUICK, Ratios, queries_with_hits, serving_peer
from hashserver.server.child import serving

SECONDS = 2.0 if QUICK else 5.0
CONNECTIONS = 8  # with the ledger an answer that names a hit waits for the disk: others go on in the meantime
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def server(store_folder: Path, ratios: Ratios) -> Iterator[str]:
    with serving(store_folder):
        pass  # the first start of a fresh checkout compiles
    with serving(store_folder) as child:
        ratios.figure("start to first answer, 10 M entries, warm caches", child.seconds, "s")
        yield child.url


@pytest.fixture(scope="module")
def peer_rate(tmp_path_factory: pytest.TempPathFactory, md5s: NDArray[np.uint8]) -> float:
    """Hashes a second of the peer, which holds a tenth of the hashes."""
    folder = tmp_path_factory.mktemp("peer")
    environment = lmdb.open(str(folder), map_size=1 << 30, sync=False)
    with environment, environment.begin(write=True) as transaction, transaction.cursor() as cursor:
        cursor.putmulti((bytes(digest), b"") for digest in md5s[: len(md5s) // 10])
    with serving_peer("peer_server.py", folder) as peer:
        requests = make_requests(md5s, 10_000, "application/json")
        return load(peer.url, requests, 10_000, seconds=SECONDS, connections=CONNECTIONS).rate


def as_json(digests: NDArray[np.uint8]) -> bytes:
    return json.dumps({"md5": [bytes(digest).hex() for digest in digests]}).encode()


def as_text(digests: NDArray[np.uint8]) -> bytes:
    return b"\n".join(bytes(digest).hex().encode() for digest in digests)


def as_arrow(digests: NDArray[np.uint8]) -> bytes:
    array = pa.Array.from_buffers(pa.binary(16), len(digests), [None, pa.py_buffer(digests.tobytes())])
    batch = pa.record_batch([array], names=["md5"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


BODIES = {
    "application/json": as_json,
    "application/octet-stream": lambda digests: digests.tobytes(),
    "text/plain": as_text,
    ARROW: as_arrow,
}


def make_requests(md5s: NDArray[np.uint8], hashes: int, content_type: str) -> list[bytes]:
    count = 8 if hashes <= 10_000 else 2
    bodies = [BODIES[content_type](queries_with_hits(md5s, hashes, seed)) for seed in range(count)]
    return [request("/v2/check?type=md5", content_type, body) for body in bodies]


@pytest.mark.parametrize(
    ("content_type", "hashes", "floor"),
    [
        ("application/json", 1_000, 4),
        ("application/json", 10_000, 12),
        ("application/json", 100_000, 8),
        ("application/json", 1_000_000, 8),
        ("application/octet-stream", 1_000, 4),
        ("application/octet-stream", 10_000, 25),
        ("application/octet-stream", 100_000, 20),
        (ARROW, 10_000, 15),
        ("text/plain", 10_000, 10),
    ],
)
def test_batch_check(
    server: str,
    md5s: NDArray[np.uint8],
    peer_rate: float,
    ratios: Ratios,
    content_type: str,
    hashes: int,
    floor: float,
) -> None:
    """Floors are in units of the peer's rate, 0.5 to 0.8 M/s; ours is the better of two turns."""
    requests = make_requests(md5s, hashes, content_type)
    load(server, requests, hashes, seconds=0.5, connections=CONNECTIONS)
    rate = max(load(server, requests, hashes, seconds=SECONDS, connections=CONNECTIONS).rate for _ in range(2))
    name = f"POST /v2/check, {content_type.rpartition('/')[2]}, {hashes:,} a request"
    ratios.figure(name, rate / 1e6, "M/s")
    ratios.compare("  beside FastAPI + pydantic + getmulti", rate, peer_rate, floor=floor)


@pytest.mark.parametrize(
    ("content_type", "bound"), [("application/json", 0.25), ("application/octet-stream", 0.05)]
)
def test_a_small_request_beside_a_million(
    server: str, md5s: NDArray[np.uint8], ratios: Ratios, content_type: str, bound: float
) -> None:
    large = make_requests(md5s, 1_000_000, content_type)
    small = make_requests(md5s, 10, "application/json")
    latencies: list[float] = []
    running_load = threading.Thread(
        target=load, args=(server, large, 1_000_000), kwargs={"seconds": SECONDS, "connections": 1}
    )
    running_load.start()
    with connect(server) as connection:
        while running_load.is_alive():
            began = time.perf_counter()
            connection.sendall(small[0])
            read_response(connection)
            latencies.append(time.perf_counter() - began)
            time.sleep(0.005)
    running_load.join()
    name = f"small request beside 1,000,000 as {content_type.rpartition('/')[2]}"
    ratios.figure(f"{name}, p99", 1e3 * statistics.quantiles(latencies, n=100)[98], "ms")
    ratios.figure(f"{name}, worst", 1e3 * max(latencies), "ms")
    assert statistics.quantiles(latencies, n=100)[98] <= bound
