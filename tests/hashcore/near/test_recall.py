"""Recall is 100 %: ten thousand queries at every radius beside a comparison with everything."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hamming_model import make_codes
from numpy.typing import NDArray
from PIL import Image

from hashcore.arrays.columns import Column
from hashcore.near.hamming import hit_distances, hit_queries, hit_rows
from hashcore.near.multiindex import Geometry, build_chunk
from hashcore.near.nearest import PerceptualIndex, find_within, search_index
from hashcore.pictures.pdq import hash_picture

Codes = NDArray[np.uint8]
QUERIES, CODES = 10_000, 8_000


def pictures(random: np.random.Generator) -> list[Image.Image]:
    """Pictures with detail at every scale, as photographs have it."""
    made = []
    for _ in range(12):
        picture = Image.new("RGB", (320, 240))
        for cells, weight in ((3, 1.0), (9, 0.5), (27, 0.35), (80, 0.25)):
            coarse = Image.fromarray(random.integers(0, 256, (3 * cells, 4 * cells, 3), np.uint8))
            picture = Image.blend(picture, coarse.resize(picture.size, Image.Resampling.BICUBIC), weight)
        made.append(picture)
    return made


def hashes_of_crops(n: int, random: np.random.Generator, *, reencode: bool) -> Codes:
    """PDQs of crops, of which many overlap; their bits are correlated as those of real sets are."""
    sources = pictures(np.random.default_rng(1))
    digests = []
    for _ in range(n):
        source = sources[random.integers(len(sources))]
        left, top = random.integers(0, 160), random.integers(0, 120)
        crop = source.crop((left, top, left + random.integers(80, 160), top + random.integers(60, 120)))
        if reencode:
            buffer = io.BytesIO()
            crop.save(buffer, "JPEG", quality=60)
            crop = Image.open(buffer)
        digests.append(hash_picture(np.asarray(crop)).digest)
    return np.frombuffer(b"".join(digests), np.uint8).reshape(n, 32)


def codes_and_queries(kind: str) -> tuple[Codes, Codes]:
    random = np.random.default_rng(7)
    if kind == "pictures":
        known = hashes_of_crops(CODES, random, reencode=False)
        asked = hashes_of_crops(500, random, reencode=True)
        return known, np.concatenate([np.tile(asked, (10, 1)), known[:5000]])
    codes = make_codes(kind, CODES + QUERIES, 32, random)
    return codes[:CODES], codes[CODES:]


def compare_with_all(codes: Codes, queries: Codes, radii: NDArray[np.uint32]) -> set[tuple[int, int, int]]:
    """The obvious way."""
    words = codes.view(np.uint64)
    found = set()
    for start in range(0, len(queries), 200):
        asked = queries[start : start + 200].view(np.uint64)
        table = np.bitwise_count(asked[:, None, :] ^ words[None, :, :]).sum(axis=2, dtype=np.uint16)
        for query, row in zip(*np.nonzero(table <= radii[start : start + 200, None]), strict=True):
            found.add((start + int(query), int(row), int(table[query, row])))
    return found


@pytest.mark.parametrize("kind", ["random", "clustered", "pictures"])
def test_ten_thousand_queries_find_what_a_comparison_with_everything_finds(kind: str) -> None:
    codes, queries = codes_and_queries(kind)
    codes, queries = np.ascontiguousarray(codes), np.ascontiguousarray(queries)
    radii = (np.arange(len(queries)) % 65).astype(np.uint32)
    if kind == "clustered":
        radii = np.minimum(radii, 24).astype(np.uint32)  # beyond, everything matches everything
    expected = compare_with_all(codes, queries, radii)
    column = Column.of(codes)
    geometry = Geometry(32, 16)
    parts = [build_chunk(column, geometry, chunk) for chunk in range(geometry.chunks)]
    directories, postings = ([Column.of(part[which]) for part in parts] for which in (0, 1))
    index = PerceptualIndex.of(geometry, directories, postings)
    for chosen in (None, index):
        found = find_within(column, chosen, queries, radii)
        triples = zip(found.queries.tolist(), found.rows.tolist(), found.distances.tolist(), strict=True)
        assert set(triples) == expected
        assert len(found) == len(expected)
    # The index alone, with no budget that would send a query to the scanner.
    which = np.flatnonzero(radii <= 40).astype(np.uint32)
    unbounded = np.full(len(queries), 1 << 40, np.uint64)
    hits, over = search_index(column, index, queries, which, radii, unbounded)
    assert not len(over)
    alone = set(
        zip(hit_queries(hits).tolist(), hit_rows(hits).tolist(), hit_distances(hits).tolist(), strict=True)
    )
    assert alone == {triple for triple in expected if radii[triple[0]] <= 40}
