"""Near-duplicate search: the scanner and the index beside FAISS and usearch, one thread, one run.

The HMA index is FAISS `IndexBinaryMultiHash` as Meta's Hasher-Matcher-Actioner makes it: 16 hash
tables of 16 bits each, of which up to one bit is flipped. Its recall is printed beside ours, which
is 100 % always.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.support import QUICK, Ratios
from hashcore import HashColumn, Rows, Store, hash_type
from hashcore.arrays.columns import Column
from hashcore.near.hamming import scan
from hashcore.near.multiindex import build_chunk
from hashcore.near.nearest import PerceptualIndex, choose_geometry, find_within
from hashcore.pictures.pdq import hash_picture
from hashserver.ledger.publications import add_ledger
from hashserver.server.child import serving

Codes = NDArray[np.uint8]
PDQ = hash_type("pdq")
SIZES = [100_000, 1_000_000] if QUICK else [100_000, 1_000_000, 10_000_000]
RADIUS = 31


def random_codes(n: int, seed: int) -> Codes:
    """Random codes of 256 bits."""
    return np.random.default_rng(seed).integers(0, 256, (n, 32), np.uint8)


def flipped(codes: Codes, flips: int, seed: int) -> Codes:
    random = np.random.default_rng(seed)
    changed = codes.copy()
    rows = np.arange(len(codes))
    for _ in range(flips):
        bits = random.integers(0, 256, len(codes))
        changed[rows, bits // 8] ^= (1 << (bits % 8)).astype(np.uint8)
    return changed


def build(codes: Codes) -> PerceptualIndex | None:
    geometry = choose_geometry(32, len(codes), RADIUS)
    if geometry is None:
        return None
    parts = [build_chunk(Column.of(codes), geometry, chunk) for chunk in range(geometry.chunks)]
    directories, postings = ([Column.of(part[which]) for part in parts] for which in (0, 1))
    return PerceptualIndex.of(geometry, directories, postings)


def seconds_of(work: Callable[[], object], turns: int = 3) -> float:
    best = float("inf")
    for _ in range(turns):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def make_queries(codes: Codes, n: int) -> Codes:
    """Half are near to an entry, half are not."""
    chosen = np.random.default_rng(9).integers(0, len(codes), n // 2)
    return np.concatenate([flipped(codes[chosen], 20, 10), random_codes(n - n // 2, 11)])


@pytest.mark.parametrize("width", [32, 8])
def test_scanner(width: int, ratios: Ratios) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes = random_codes(1_000_000, 1)[:, :width].copy()
    queries = random_codes(1000, 2)[:, :width].copy()
    radius = RADIUS if width == 32 else 8
    which, radii = np.arange(len(queries), dtype=np.uint32), np.full(len(queries), radius, np.uint32)
    column = Column.of(codes)
    scan(column, queries[:8], which[:8], radii[:8])
    comparisons = len(codes) * len(queries)
    ours = comparisons / seconds_of(lambda: scan(column, queries, which, radii))
    flat = faiss.IndexBinaryFlat(8 * width)
    flat.add(codes)
    few = queries[:100]
    peer = len(codes) * len(few) / seconds_of(lambda: flat.range_search(few, radius + 1), 1)
    ratios.figure(f"Hamming scan, {8 * width} bits, batches of 1,000", ours / 1e9, "G/s")
    ratios.figure("  FAISS IndexBinaryFlat", peer / 1e9, "G/s")
    ratios.compare("  beside FAISS flat", ours, peer, floor=4 if width == 32 else 2)


@pytest.mark.parametrize("size", SIZES)
def test_within_31(size: int, ratios: Ratios) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes = random_codes(size, 3)
    column, index = Column.of(codes), build(codes)
    queries = make_queries(codes, 1000)
    expected = find_within(column, None, queries, RADIUS)
    found = find_within(column, index, queries, RADIUS)
    assert found.rows.tolist() == expected.rows.tolist(), "recall is 100 %"
    batch = seconds_of(lambda: find_within(column, index, queries, RADIUS)) / len(queries)
    few = queries[400:600]
    single = seconds_of(lambda: [find_within(column, index, few[i : i + 1], RADIUS) for i in range(200)]) / 200
    ratios.figure(f"within 31 of a PDQ, {size:,} entries, batches of 1,000", 1e3 * batch, "ms")
    ratios.figure("  one query at a time", 1e3 * single, "ms")

    hma = faiss.IndexBinaryMultiHash(256, 16, 16)
    hma.nflip = 1
    hma.add(codes)
    limits, _, labels = hma.range_search(few, RADIUS + 1)
    hma_rows = {(int(q), int(row)) for q in range(200) for row in labels[limits[q] : limits[q + 1]]}
    true_rows = {(int(q) - 400, int(r)) for q, r in zip(found.queries, found.rows, strict=True) if 400 <= q < 600}
    ratios.figure("  recall of HMA's index", 100 * len(hma_rows & true_rows) / max(1, len(true_rows)), "%")
    peer = seconds_of(lambda: hma.range_search(few, RADIUS + 1), 1) / len(few)
    ratios.figure("  HMA's index (FAISS MultiHash)", 1e3 * peer, "ms")
    ratios.compare("  beside HMA's index", peer, batch, floor=20 if size == 10_000_000 else 4)


def test_clustered_hashes_cost_little_more(ratios: Ratios) -> None:
    """Sets hold many copies of one picture: families of 20 within 24 bits of one another."""
    size = 1_000_000
    spread = random_codes(size, 4)
    families = flipped(np.repeat(random_codes(size // 20, 5), 20, axis=0), 12, 6)
    times = []
    for codes in (spread, families):
        column, index = Column.of(codes), build(codes)
        queries = make_queries(codes, 1000)
        find_within(column, index, queries, RADIUS)
        times.append(seconds_of(lambda c=column, i=index, q=queries: find_within(c, i, q, RADIUS)))
    ratios.figure("clustered hashes beside random ones, 1,000,000 entries", times[1] / times[0], "x the time")
    assert times[1] <= 3 * times[0]


@pytest.mark.skipif(QUICK, reason="takes minutes; run make bench")
def test_hashes_of_real_pictures_cost_little_more(ratios: Ratios) -> None:
    """PDQs of a hundred thousand crops of photographs, many of which overlap, and re-encodings."""
    pictures = real_pictures()
    random = np.random.default_rng(8)
    crops = [a_crop(pictures, random) for _ in range(100_000)]
    known = np.frombuffer(b"".join(hash_picture(crop).digest for crop in crops), np.uint8).reshape(-1, 32)
    copies = [reencoded(crops[number]) for number in random.integers(0, len(crops), 500)]
    fresh = [a_crop(pictures, random) for _ in range(500)]
    queries = np.array([list(hash_picture(pixels).digest) for pixels in [*copies, *fresh]], np.uint8)
    spread = random_codes(len(known), 4)
    times, scanned = [], find_within(Column.of(known), None, queries, RADIUS)
    for codes, asked in ((spread, make_queries(spread, 1000)), (known, queries)):
        column, index = Column.of(codes), build(codes)
        found = find_within(column, index, asked, RADIUS)
        times.append(seconds_of(lambda c=column, i=index, q=asked: find_within(c, i, q, RADIUS)))
    assert found.rows.tolist() == scanned.rows.tolist(), "recall is 100 %"
    ratios.figure("PDQs of crops of photographs beside random ones, 100,000", times[1] / times[0], "x the time")
    ratios.figure("  entries found for a query", len(found) / len(queries), "")


def real_pictures() -> list[Codes]:
    """Photographs that scikit-image carries."""
    data = pytest.importorskip("skimage.data")
    pictures = []
    for name in ("astronaut", "cat", "coffee", "rocket", "camera", "brick", "grass", "gravel", "moon", "page"):
        try:
            pixels = getattr(data, name)()
        except Exception:  # some are not in every package, and would be downloaded
            continue
        pictures.append(np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)))
    assert pictures
    return pictures


def a_crop(pictures: list[Codes], random: np.random.Generator) -> Codes:
    picture = pictures[random.integers(len(pictures))]
    rows, columns = (random.integers(side // 4, side // 2) for side in picture.shape[:2])
    top, left = random.integers(picture.shape[0] - rows), random.integers(picture.shape[1] - columns)
    return np.ascontiguousarray(picture[top : top + rows, left : left + columns])


def reencoded(pixels: Codes) -> Codes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((128, 96)).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


@pytest.mark.skipif(QUICK, reason="takes minutes; run make bench")
def test_usearch(ratios: Ratios) -> None:
    """usearch is approximate: its recall at the 10 nearest is printed, not only its speed."""
    index_module = pytest.importorskip("usearch.index")
    codes = random_codes(100_000, 3)  # its graph takes a minute to build for so many
    index = index_module.Index(ndim=256, metric=index_module.MetricKind.Hamming, dtype=index_module.ScalarKind.B1)
    index.add(np.arange(len(codes)), codes, threads=0)
    queries = make_queries(codes, 1000)
    seconds = seconds_of(lambda: index.search(queries, 10, threads=1), 1) / len(queries)
    found = index.search(queries[:500], 10, threads=1)
    true = find_within(Column.of(codes), build(codes), queries[:500], RADIUS)
    named = {(q, int(key)) for q in range(500) for key in np.atleast_1d(found.keys[q])}
    kept = sum((int(q), int(row)) in named for q, row in zip(true.queries, true.rows, strict=True))
    ratios.figure("usearch, 10 nearest of 100,000, a query", 1e3 * seconds, "ms")
    ratios.figure("  its recall within 31", 100 * kept / max(1, len(true)), "%")


@pytest.mark.skipif(QUICK, reason="takes minutes; run make bench")
@pytest.mark.parametrize("radius", [8, 16, 31, 48])
@pytest.mark.parametrize("size", SIZES)
def test_table(size: int, radius: int, ratios: Ratios) -> None:
    """The figures of the table in docs/performance.md."""
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes = random_codes(size, 3)
    column, index = Column.of(codes), build(codes)
    queries = make_queries(codes, 1000)
    which, radii = np.arange(1000, dtype=np.uint32), np.full(1000, radius, np.uint32)
    find_within(column, index, queries, radius)
    ours = seconds_of(lambda: find_within(column, index, queries, radius), 2)
    scanned = seconds_of(lambda: scan(column, queries, which, radii), 1)
    flat = faiss.IndexBinaryFlat(256)
    flat.add(codes)
    few = queries[:50]
    peer = seconds_of(lambda: flat.range_search(few, radius + 1), 1) * 20
    for name, seconds in (("chosen", ours), ("scanner", scanned), ("FAISS flat", peer)):
        ratios.figure(f"table: {size:,} entries, radius {radius}, {name}", seconds, "ms a query")


def test_pdq_over_http(tmp_path_factory: pytest.TempPathFactory, ratios: Ratios) -> None:
    from benchmarks.http_load import load, request

    folder = tmp_path_factory.mktemp("pdq") / "data"
    codes = random_codes(1_000_000, 3)
    with Store(folder) as store:
        began = time.perf_counter()
        store.load("known", [Rows(np.arange(len(codes)), {"pdq": HashColumn(codes)})], now=0.0)
        ratios.figure("load and index 1,000,000 PDQ", time.perf_counter() - began, "s")
        ratios.figure("  bytes an entry in the store", store.bytes_used / len(codes), "B")
        add_ledger(store)
    bodies = [random_codes(1000, seed).tobytes() for seed in range(20, 28)]
    requests = [request("/v2/check?type=pdq", "application/octet-stream", body) for body in bodies]
    with serving(folder) as child:
        load(child.url, requests, 1000, seconds=1, connections=2)
        outcome = load(child.url, requests, 1000, seconds=4, connections=2)
    ratios.figure("POST /v2/check, 1,000 PDQ a request against 1,000,000", outcome.rate, "queries/s")
    assert outcome.rate >= (4000 if QUICK else 8000)
