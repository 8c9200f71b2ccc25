from __future__ import annotations

import numpy as np
import pytest
from hamming_model import KINDS, brute_force, in_pieces, make_codes, make_queries, unpack
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.arrays.columns import Column
from hashcore.near.hamming import first_look_words, scan


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([8, 32]),
    kind=st.sampled_from(KINDS),
    n=st.one_of(st.integers(0, 40), st.integers(1000, 1100), st.just(2049)),
    queries=st.integers(0, 9),
    shift=st.sampled_from([0, 2, 4, 10, 20]),
    greatest=st.sampled_from([0, 8, 11, 12, 16, 31, 34, 35, 64, 128, 256]),
)
def test_scan_finds_what_comparing_with_everything_finds(
    seed: int, width: int, kind: str, n: int, queries: int, shift: int, greatest: int
) -> None:
    random = np.random.default_rng(seed)
    codes = make_codes(kind, n, width, random)
    asked = make_queries(codes, queries, random)
    radii = random.integers(0, greatest + 1, queries).astype(np.uint32)
    radii[: queries // 2] = greatest
    which = np.arange(queries, dtype=np.uint32)
    hits = scan(in_pieces(codes, shift), asked, which, radii)
    assert unpack(hits) == brute_force(codes, asked, radii)


def test_scan_answers_only_the_queries_it_is_given() -> None:
    codes = np.arange(64, dtype=np.uint8).reshape(8, 8)
    which = np.array([6, 1], np.uint32)
    hits = scan(Column.of(codes), codes.copy(), which, np.zeros(8, np.uint32))
    assert unpack(hits) == [(1, 0, 1), (6, 0, 6)]


def test_scan_makes_room_for_more_hits_than_it_first_expects() -> None:
    codes = np.zeros((220_000, 8), np.uint8)
    queries = np.zeros((5, 8), np.uint8)
    hits = scan(Column.of(codes), queries, np.arange(5, dtype=np.uint32), np.zeros(5, np.uint32))
    expected = np.arange(5, dtype=np.uint64)[:, None] << np.uint64(41) | np.arange(220_000, dtype=np.uint64)
    assert np.array_equal(np.sort(hits), expected.reshape(-1))


@pytest.mark.parametrize("radius", [0, 11, 31, 34, 48, 64])
def test_the_first_look_rules_out_nearly_every_block_of_unrelated_codes(radius: int) -> None:
    words = first_look_words(32, radius)
    random = np.random.default_rng(radius)
    codes = random.integers(0, 2**64, (100 * 1024, words), np.uint64)
    distances = np.bitwise_count(codes).sum(axis=1).reshape(100, 1024)
    assert np.count_nonzero(distances.min(axis=1) <= radius) <= 5
