from __future__ import annotations

import numpy as np
import pytest
from hamming_model import Codes, in_pieces, unpack
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore import Rule
from hashcore.arrays.columns import Column
from hashcore.near import bytevector
from hashcore.near.bytevector import FEWEST_TRANSPOSED, MOST_DISTANCE, WIDTH, scan
from hashcore.near.nearest import find_within


def model(codes: Codes, queries: Codes, radii: NDArray[np.uint32]) -> list[tuple[int, int, int]]:
    """(query, distance, row) of all pairs within the radius, in this order."""
    found = []
    for number, query in enumerate(queries.astype(np.int64)):
        exact = np.sqrt(((codes.astype(np.int64) - query) ** 2).sum(axis=1))
        rows = np.flatnonzero(exact <= radii[number]).tolist()
        found += sorted((number, int(np.ceil(exact[row])), row) for row in rows)
    return found


def shaken(codes: Codes, by: int, random: np.random.Generator) -> Codes:
    """Codes near some others."""
    moved = codes.astype(np.int64) + random.integers(-by, by + 1, codes.shape)
    return np.clip(moved, 0, 255).astype(np.uint8)


def make_codes(kind: str, n: int, random: np.random.Generator) -> Codes:
    if kind == "extremes":
        return (random.integers(0, 2, (n, WIDTH)) * 255).astype(np.uint8)
    if kind == "clustered":
        return shaken(np.repeat(random.integers(0, 256, (1, WIDTH), np.uint8), n, axis=0), 30, random)
    if kind == "sparse":
        return np.minimum(255, random.exponential(20, (n, WIDTH)) ** 1.2).astype(np.uint8)
    return random.integers(0, 256, (n, WIDTH), np.uint8)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["random", "clustered", "sparse", "extremes"]),
    n=st.one_of(st.integers(0, 40), st.integers(250, 260), st.just(513)),
    queries=st.integers(0, FEWEST_TRANSPOSED + 8),
    by=st.integers(0, 40),
    shift=st.sampled_from([0, 2, 6, 10, 20]),
    greatest=st.sampled_from([0, 1, 30, 100, 200, 254, 255]),
)
@example(seed=1, kind="clustered", n=513, queries=20, by=20, shift=6, greatest=255)
@example(seed=1, kind="clustered", n=513, queries=3, by=20, shift=6, greatest=255)
def test_scan_finds_what_comparing_with_everything_finds(
    seed: int, kind: str, n: int, queries: int, by: int, shift: int, greatest: int
) -> None:
    random = np.random.default_rng(seed)
    codes = make_codes(kind, n, random)
    asked = make_codes(kind, queries, random)
    if n:
        asked[::2] = shaken(codes[random.integers(0, n, (queries + 1) // 2)], by, random)
    radii = random.integers(0, greatest + 1, queries).astype(np.uint32)
    radii[: queries // 2] = greatest
    assert unpack(scan(in_pieces(codes, shift), asked, radii)) == model(codes, asked, radii)


@pytest.mark.parametrize("queries", [1, FEWEST_TRANSPOSED])
@pytest.mark.parametrize("component", range(WIDTH))
def test_every_component_counts(component: int, queries: int) -> None:
    codes = np.zeros((1, WIDTH), np.uint8)
    asked = np.zeros((queries, WIDTH), np.uint8)
    asked[:, component] = 200
    for radius, expected in ((200, [(n, 200, 0) for n in range(queries)]), (199, [])):
        assert unpack(scan(Column.of(codes), asked, np.full(queries, radius, np.uint32))) == expected


@pytest.mark.parametrize("queries", [1, FEWEST_TRANSPOSED])
@pytest.mark.parametrize(
    ("differences", "squared"),
    [([255], 65025), ([255, 1], 65026), ([255, 22, 5, 1], 65535), ([255, 22, 5, 1, 1], 65536), ([255] * WIDTH, 0)],
)
def test_sums_around_what_sixteen_bits_hold(differences: list[int], squared: int, queries: int) -> None:
    """None but the first is within 255; a sum that wrapped around would be."""
    asked = np.zeros((queries, WIDTH), np.uint8)
    asked[:, : len(differences)] = differences
    assert squared in (0, sum(difference**2 for difference in differences))
    hits = unpack(scan(Column.of(np.zeros((1, WIDTH), np.uint8)), asked, np.full(queries, 255, np.uint32)))
    assert hits == ([(n, 255, 0) for n in range(queries)] if squared == 65025 else [])


def test_a_distance_is_rounded_up_so_that_the_radius_is_exact() -> None:
    codes, query = np.zeros((1, WIDTH), np.uint8), np.zeros((1, WIDTH), np.uint8)
    query[0, :2] = 1  # 1.41
    column = Column.of(codes)
    assert len(find_within(column, None, query, 1, rule=Rule.EUCLIDEAN)) == 0
    assert find_within(column, None, query, 2, rule=Rule.EUCLIDEAN).distances.tolist() == [2]


def test_what_the_kernel_is_not_made_for_is_refused() -> None:
    column = Column.of(np.zeros((1, WIDTH), np.uint8))
    with pytest.raises(ValueError, match="255 at most"):
        find_within(column, None, np.zeros((1, WIDTH), np.uint8), MOST_DISTANCE + 1, rule=Rule.EUCLIDEAN)
    with pytest.raises(ValueError, match="144 bytes"):
        find_within(column, None, np.zeros((1, 32), np.uint8), 1, rule=Rule.EUCLIDEAN)
    with pytest.raises(ValueError, match="8 or 32"):
        find_within(column, None, np.zeros((1, WIDTH), np.uint8), 1)


@pytest.mark.parametrize("queries", [2, 30])
def test_scan_makes_room_for_more_hits_than_it_first_expects(
    queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashcore.near.hamming._FIRST_CAPACITY", 100)
    codes = np.zeros((700, WIDTH), np.uint8)
    hits = bytevector.scan(Column.of(codes), codes[:queries], np.zeros(queries, np.uint32))
    assert unpack(hits) == [(query, 0, row) for query in range(queries) for row in range(700)]
