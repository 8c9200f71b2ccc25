"""How fast this machine or a server is: bounded measurements that leave nothing behind.

All data are generated. What is measured by itself lies in a temporary folder; a server elsewhere is
asked about random hashes only, so it has counts to record and nothing else.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import lmdb
import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from hashcore import HashColumn, Rows, Store, hash_type
from hashcore.pictures.pdq import hash_picture
from hashcore.rows import Digests
from hashserver.client import ClientError
from hashserver.ledger import Ledger
from hashserver.ledger.publications import add_ledger
from hashserver.parties.admin import PartyAdmin
from hashserver.provider.hashing.pictures import hash_file
from hashserver.server.child import serving

BATCH = 10_000
RADIUS = 31
CONNECTIONS = 4
_HIT_EVERY = 1000
_BODIES = 8  # different ones, so that a server cannot live off its caches
_PEER_KEYS = 1_000_000
_PDQ_BATCH = 1000
_PICTURE = (1920, 1280)
_BLOCK = 1 << 20

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Args:
        name: for programs.
        title: for people.
        value: in `unit`.
        unit: "/s" or "ms".
        meaning: what was done, in a few words.
    """

    name: str
    title: str
    value: float
    unit: str
    meaning: str


def bench_machine(entries: int, seconds: float, on_step: OnStep) -> list[Figure]:
    """Measure this machine, in a temporary folder.

    Args:
        entries: MD5s known; PDQs are a tenth.
        seconds: how long to measure each thing.
        on_step: told what comes next, `MACHINE_STEPS` times.

    Raises:
        NotStarted: the server to be measured did not start.
        ClientError: it does not answer.
    """
    md5s, pdqs = random_digests(entries, 16, 1), random_digests(max(1, entries // 10), 32, 2)
    queries = [queries_with_hits(md5s, BATCH, seed) for seed in range(_BODIES)]
    with tempfile.TemporaryDirectory(prefix="hashserver-bench-") as scratch:
        folder = Path(scratch) / "data"
        on_step("loading")
        with Store(folder) as store:
            store.load("md5", _blocks(md5s, "md5"), now=0.0)
            store.load("pdq", _blocks(pdqs, "pdq"), now=0.0)
            on_step("exact lookups")
            figures = [_exact(store, queries, seconds)]
            on_step("the same with lmdb's getmulti")
            figures.append(_getmulti(Path(scratch) / "plain", md5s[:_PEER_KEYS], seconds))
            on_step("PDQ queries")
            figures.append(_near(store, pdqs, seconds))
            add_ledger(store)
        with Ledger(folder) as ledger:
            key = PartyAdmin(ledger, "bench").add("bench")
        on_step("starting a server")
        known = "one in a thousand known and recorded"
        with serving(folder) as server:
            figures += bench_http(server.url, key, queries, seconds, on_step, known)
        on_step("hashing pictures")
        figures += _pictures(Path(scratch) / "picture.jpg", seconds)
    return figures


def bench_server(url: str, key: str | None, seconds: float, on_step: OnStep) -> list[Figure]:
    """Measure a server with random hashes, none of which it knows.

    Raises:
        ClientError: it does not answer, or refuses.
    """
    queries = [np.frombuffer(os.urandom(BATCH * 16), np.uint8).reshape(-1, 16) for _ in range(_BODIES)]
    return bench_http(url, key, queries, seconds, on_step, "random, so none known")


MACHINE_STEPS = 8
SERVER_STEPS = 2


def random_digests(n: int, width: int, seed: int) -> Digests:
    """uint8[n, width]."""
    return np.random.default_rng([seed, n]).integers(0, 256, (n, width), np.uint8)


def queries_with_hits(known: Digests, n: int, seed: int) -> Digests:
    """Random digests, uint8[n, width], of which one in a thousand is known."""
    random = np.random.default_rng([seed, n, 3])
    queries = random.integers(0, 256, (n, known.shape[1]), np.uint8)
    hits = random.choice(n, max(1, n // _HIT_EVERY), replace=False)
    queries[hits] = known[random.integers(0, len(known), len(hits))]
    return queries


def _blocks(digests: Digests, kind: str) -> Iterator[Rows]:
    for start in range(0, len(digests), _BLOCK):
        part = digests[start : start + _BLOCK]
        yield Rows(np.arange(start, start + len(part), dtype=np.int64), {kind: HashColumn(part)})


def _rate(work: Callable[[int], int], seconds: float) -> float:
    """Items per second of a job that is told its turn and returns its items; turn 0 warms up."""
    work(0)
    done, turn = 0, 1
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or turn == 1:
        done += work(turn)
        turn += 1
    return done / spent


def _exact(store: Store, queries: list[Digests], seconds: float) -> Figure:
    md5 = hash_type("md5")

    def work(turn: int) -> int:
        with store.read() as snapshot:
            for batch in queries:
                found = len(snapshot.match(md5, batch))
                assert found == BATCH // _HIT_EVERY, f"{found} of {BATCH // _HIT_EVERY} known hashes were found"
        return BATCH * len(queries)

    meaning = f"in process, one core, {BATCH:,} MD5s at a time, one in a thousand known"
    return Figure("exact_lookups", "exact lookups", _rate(work, seconds), "/s", meaning)


def _getmulti(folder: Path, known: Digests, seconds: float) -> Figure:
    keys = sorted(map(bytes, known))
    queries = [list(map(bytes, queries_with_hits(known, BATCH, seed))) for seed in range(_BODIES)]
    with lmdb.open(str(folder), map_size=max(1 << 28, 256 * len(keys)), sync=False) as environment:
        with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(((key, b"") for key in keys), append=True)

        def work(turn: int) -> int:
            with environment.begin() as transaction, transaction.cursor() as cursor:
                cursor.getmulti(queries[turn % len(queries)])
            return BATCH

        rate = _rate(work, seconds)
    meaning = f"for comparison: lmdb's getmulti, {len(keys):,} plain keys, the same kind of batches"
    return Figure("getmulti_lookups", "lmdb getmulti", rate, "/s", meaning)


def _near(store: Store, known: Digests, seconds: float) -> Figure:
    """Half of the queries are within the radius of an entry."""
    random = np.random.default_rng(4)
    queries = random.integers(0, 256, (_BODIES, _PDQ_BATCH, 32), np.uint8)
    chosen = known[random.integers(0, len(known), (_BODIES, _PDQ_BATCH // 2))]
    flips = np.zeros((*chosen.shape[:2], 256), np.uint8)
    flips[..., : RADIUS // 2] = 1
    queries[:, ::2] = chosen ^ np.packbits(random.permuted(flips, axis=-1), axis=-1)
    pdq = hash_type("pdq")

    def work(turn: int) -> int:
        with store.read() as snapshot:
            found = snapshot.match(pdq, queries[turn % _BODIES], max_distance=RADIUS)
        assert len(found) >= _PDQ_BATCH // 2, "near-duplicates were missed"
        return _PDQ_BATCH

    meaning = f"in process, one core, all of {len(known):,} within distance {RADIUS}, half of them near one"
    return Figure("pdq_queries", "PDQ queries", _rate(work, seconds), "/s", meaning)


def _pictures(path: Path, seconds: float) -> list[Figure]:
    coarse = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)
    picture = Image.fromarray(coarse).resize(_PICTURE, Image.Resampling.BICUBIC)
    picture.save(path, quality=90)
    pixels: NDArray[np.uint8] = np.asarray(picture)

    def hash_pixels(turn: int) -> int:
        hash_picture(pixels)
        return 1

    def hash_jpeg(turn: int) -> int:
        assert hash_file(path).pdq is not None
        return 1

    size = f"{_PICTURE[0]} x {_PICTURE[1]}"
    whole = f"a JPEG of {size} from file to MD5, SHA-1, SHA-256, PDQ and pHash, one core"
    return [
        Figure(
            "pdq_ms", "PDQ", 1e3 / _rate(hash_pixels, seconds / 2), "ms", f"of {size} decoded pixels, one core"
        ),
        Figure("picture_ms", "whole picture", 1e3 / _rate(hash_jpeg, seconds / 2), "ms", whole),
    ]


def bench_http(
    url: str, key: str | None, queries: list[Digests], seconds: float, on_step: OnStep, what: str
) -> list[Figure]:
    """Measure the batch check as JSON and packed, over a few connections that are kept open.

    Args:
        url: of the server.
        key: of a party, or None.
        queries: MD5s, uint8[BATCH, 16] each.
        seconds: how long each.
        on_step: told what comes next, twice.
        what: these hashes are, for the meaning.

    Raises:
        ClientError: it does not answer, or refuses.
    """
    bodies = {
        "json": [orjson.dumps({"md5": [bytes(digest).hex() for digest in batch]}) for batch in queries],
        "packed": [batch.tobytes() for batch in queries],
    }
    types = {"json": "application/json", "packed": "application/octet-stream"}
    titles = {"json": "JSON checks", "packed": "packed checks"}
    figures = []
    for form, content_type in types.items():
        on_step(f"{titles[form]} over HTTP")
        headers = {"Content-Type": content_type} | ({"Authorization": f"Bearer {key}"} if key else {})
        rate = _Load(url, headers, bodies[form]).run(seconds) * BATCH
        meaning = f"POST /v2/check, {BATCH:,} MD5s a request, {CONNECTIONS} connections, {what}"
        figures.append(Figure(f"{form}_checks", titles[form], rate, "/s", meaning))
    return figures


class _Load:
    """Requests one after another on each of a few connections, for a bounded time.

    Args:
        url: of the server.
        headers: of every request.
        bodies: taken in turns.
    """

    def __init__(self, url: str, headers: dict[str, str], bodies: list[bytes]) -> None:
        self._url, self._headers, self._bodies = url.rstrip("/"), headers, bodies
        self._answered = [0] * CONNECTIONS
        self._trouble: Exception | None = None

    def run(self, seconds: float) -> float:
        """Requests answered a second; one of them warms up."""
        with _connection(self._url) as connection:
            self._ask(connection, 0)
        began = time.perf_counter()
        end = began + seconds
        lanes = [threading.Thread(target=self._lane, args=(lane, end)) for lane in range(CONNECTIONS)]
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
        if self._trouble is not None:
            raise self._trouble
        return sum(self._answered) / (time.perf_counter() - began)

    def _lane(self, lane: int, end: float) -> None:
        turn = lane
        try:
            with _connection(self._url) as connection:
                while self._trouble is None and (turn == lane or time.perf_counter() < end):
                    self._ask(connection, turn)
                    self._answered[lane] += 1
                    turn += 1
        except Exception as error:  # the first one ends the load, and is raised by `run`
            self._trouble = self._trouble or error

    def _ask(self, connection: http.client.HTTPConnection, turn: int) -> None:
        path = urlsplit(self._url).path + "/v2/check?type=md5"
        try:
            connection.request("POST", path, self._bodies[turn % len(self._bodies)], self._headers)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClientError(f"{self._url} does not answer: {error}") from error
        if response.status != 200:
            raise ClientError(f"{self._url} answered {response.status}: {_detail(said)}")


def _detail(said: bytes) -> str:
    with suppress(ValueError, AttributeError):
        problem = orjson.loads(said)
        return str(problem.get("detail") or problem.get("title"))
    return said[:200].decode("utf-8", "replace")


@contextmanager
def _connection(url: str) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=60)
    try:
        yield connection
    finally:
        connection.close()
