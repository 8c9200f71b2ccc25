from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hamming_model import (
    KINDS,
    UNBOUNDED,
    brute_force,
    build_index,
    flip_bits,
    half_set,
    in_pieces,
    make_codes,
    make_queries,
    unpack,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.near import nearest
from hashcore.near.hamming import scan
from hashcore.near.multiindex import Geometry
from hashcore.near.nearest import NearMatches, PerceptualIndex, choose_geometry, find_within, search_index

N = 100_000
INDEXED = {width: choose_geometry(width, N, radius) for width, radius in ((32, 31), (8, 8))}


def triples(found: NearMatches) -> list[tuple[int, int, int]]:
    return list(zip(found.queries.tolist(), found.distances.tolist(), found.rows.tolist(), strict=True))


def large_set(width: int) -> NDArray[np.uint8]:
    """Sorted codes, some unrelated, some in clusters, some with a blank corner."""
    random = np.random.default_rng(width)
    codes = half_set(N, width, random)
    members = N // 4
    codes[:members] = flip_bits(codes[random.integers(members, members + 500, members)], 25, random)
    codes[-N // 10 :, : width // 8] = 0
    return codes[np.lexsort(codes.T[::-1])]


@pytest.fixture(scope="module", params=[32, 8])
def large(request: pytest.FixtureRequest) -> tuple[NDArray[np.uint8], Column, PerceptualIndex]:
    codes = large_set(request.param)
    column = in_pieces(codes, 14)
    geometry = INDEXED[request.param]
    assert geometry is not None
    return codes, column, build_index(column, geometry, 16)


@pytest.mark.parametrize("radius", [0, 8, 16, 31, 48, 64])
def test_index_and_scan_agree(large: tuple[NDArray[np.uint8], Column, PerceptualIndex], radius: int) -> None:
    codes, column, index = large
    if codes.shape[1] == 8:
        radius //= 4
    queries = make_queries(codes, 2000 if radius < 40 else 200, np.random.default_rng(radius))
    which = np.arange(len(queries), dtype=np.uint32)
    radii = np.full(len(queries), radius, np.uint32)
    scanned = np.sort(scan(column, queries, which, radii))
    budgets = np.full(len(queries), UNBOUNDED, np.uint64)
    indexed, over = search_index(column, index, queries, which, radii, budgets)
    assert len(over) == 0
    assert np.array_equal(np.sort(indexed), scanned)
    assert triples(find_within(column, index, queries, radius)) == unpack(scanned)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([8, 32]),
    kind=st.sampled_from(KINDS),
    n=st.one_of(st.integers(0, 3), st.integers(4, 2500)),
    queries=st.integers(0, 9),
    shift=st.sampled_from([2, 4, 20]),
    radius=st.one_of(st.integers(0, 64), st.just(1000)),
    indexed=st.booleans(),
)
def test_find_within_finds_and_sorts_what_comparing_with_everything_finds(
    seed: int, width: int, kind: str, n: int, queries: int, shift: int, radius: int, indexed: bool
) -> None:
    random = np.random.default_rng(seed)
    codes = make_codes(kind, n, width, random)
    asked = make_queries(codes, queries, random)
    column = in_pieces(codes, shift)
    index = build_index(column, Geometry(width, width // 2), 12) if indexed else None
    found = find_within(column, index, asked, radius)
    expected = brute_force(codes, asked, np.full(queries, radius, np.uint32))
    assert triples(found) == expected
    assert (found.queries.dtype, found.rows.dtype, found.distances.dtype) == (np.int64, np.int64, np.int32)
    mixed = random.integers(0, radius + 1, queries).astype(np.uint32)
    assert triples(find_within(column, index, asked, mixed)) == [e for e in expected if e[1] <= mixed[e[0]]]


def test_queries_that_very_many_codes_resemble_find_the_same(
    large: tuple[NDArray[np.uint8], Column, PerceptualIndex],
) -> None:
    codes, column, index = large
    queries = make_queries(codes, 40, np.random.default_rng(1))
    queries[::5, : codes.shape[1] // 4] = 0
    radii = np.full(40, 7, np.uint32)
    expected = brute_force(codes, queries, radii)
    assert triples(find_within(column, index, queries, 7)) == expected
    one_by_one = [find_within(column, index, queries[i : i + 1], 7) for i in range(40)]
    assert [(i, *hit[1:]) for i, found in enumerate(one_by_one) for hit in triples(found)] == expected


def test_queries_that_may_not_be_written_to_and_slices_are_taken() -> None:
    codes = make_codes("random", 100, 32, np.random.default_rng(0))
    frozen = np.frombuffer(codes.tobytes(), np.uint8).reshape(100, 32)
    assert triples(find_within(Column.of(codes), None, frozen, 0)) == [(i, 0, i) for i in range(100)]
    assert triples(find_within(Column.of(codes), None, frozen[::2], 0)) == [(i, 0, 2 * i) for i in range(50)]


def test_few_codes_get_no_index_and_many_get_one_within_its_memory() -> None:
    assert choose_geometry(32, 0, 31) is None
    assert choose_geometry(32, nearest.FEWEST_INDEXED - 1, 31) is None
    assert choose_geometry(32, 10_000_000, 31) == Geometry(32, 11)
    for n in (nearest.FEWEST_INDEXED, 1_000_000, 10_000_000, 100_000_000):
        for width, radius in ((32, 31), (8, 8)):
            geometry = choose_geometry(width, n, radius)
            assert geometry is not None
            assert geometry.index_bytes(n) <= 100 * n


@pytest.mark.parametrize(
    ("width", "queries", "radii", "message"),
    [
        (16, np.zeros((1, 16), np.uint8), 1, "8 or 32 bytes"),
        (32, np.zeros((1, 8), np.uint8), 1, "rows of 32 bytes"),
        (8, np.zeros((2, 8), np.uint8), np.zeros(3, np.uint32), "one radius for each of 2"),
        (8, np.zeros((2, 8), np.uint8), -1, "0 or more"),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(
    width: int, queries: NDArray[np.uint8], radii: int | NDArray[np.uint32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_within(Column.of(np.zeros((4, width), np.uint8)), None, queries, radii)


@pytest.mark.parametrize("cpu", ["nehalem", "haswell"])
def test_older_processors_find_the_same(cpu: str, tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CACHE_DIR": str(tmp_path)}
    # Without this numba adds the features of the CPU it runs on to those of the one that is named.
    environment["NUMBA_CPU_FEATURES"] = ""
    environment["PYTHONPATH"] = str(Path(__file__).parents[2] / "support")
    run = subprocess.run(
        [sys.executable, __file__],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [cpu, "same"]


def check_everything_once() -> None:
    """Run by `test_older_processors_find_the_same` in a process of its own."""
    for width, greatest in ((32, 64), (8, 16)):
        for kind in KINDS:
            random = np.random.default_rng(width)
            codes = make_codes(kind, 3000, width, random)
            queries = make_queries(codes, 12, random)
            radii = np.array([0, 8, 11, 16, 31, 33, 34, 35, 48, 57, 63, 64], np.uint32) * greatest // 64
            column = in_pieces(codes, 10)
            index = build_index(column, Geometry(width, width // 2), 12)
            expected = brute_force(codes, queries, radii)
            which, budgets = np.arange(12, dtype=np.uint32), np.full(12, UNBOUNDED, np.uint64)
            assert unpack(search_index(column, index, queries, which, radii, budgets)[0]) == expected
            assert unpack(scan(column, queries, which, radii)) == expected
            assert triples(find_within(column, index, queries, radii)) == expected


if __name__ == "__main__":
    check_everything_once()
    print(os.environ["NUMBA_CPU_NAME"], "same")
