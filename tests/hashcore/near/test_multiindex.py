from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hamming_model import KINDS, UNBOUNDED, brute_force, build_index, in_pieces, make_codes, make_queries, unpack
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.arrays.columns import Column
from hashcore.near.multiindex import Geometry, build_chunk, flips
from hashcore.near.nearest import search_index


@given(width=st.sampled_from([8, 32]), chunks=st.integers(4, 40), radius=st.integers(0, 64))
def test_sub_radii_leave_no_room_for_a_code_that_every_chunk_misses(width: int, chunks: int, radius: int) -> None:
    chunks = max(chunks, width // 2) if width == 32 else min(chunks, 12)
    geometry = Geometry(width, chunks)
    sub_radii, bits = geometry.sub_radii(radius), geometry.chunk_bits
    assert sum(bits) == 8 * width
    whole = [s for s, b in zip(sub_radii, bits, strict=True) if s == b]
    assert whole or sum(s + 1 for s in sub_radii) > radius


@pytest.mark.parametrize("geometry", [Geometry(32, 11), Geometry(32, 13), Geometry(8, 3), Geometry(8, 5)])
def test_chunks_cover_every_bit_once(geometry: Geometry) -> None:
    covered = 0
    for chunk in range(geometry.chunks):
        byte, bit, mask = geometry.place(chunk)
        assert covered & (mask << (8 * byte + bit)) == 0
        assert bit + mask.bit_length() <= 64
        covered |= mask << (8 * byte + bit)
    assert covered == (1 << (8 * geometry.width)) - 1


@pytest.mark.parametrize(("bits", "radius"), [(1, 0), (1, 1), (5, 2), (8, 8), (23, 2), (24, 3), (6, 9)])
def test_flips_are_all_numbers_with_few_bits_set(bits: int, radius: int) -> None:
    expected = [sum(1 << p for p in c) for k in range(radius + 1) for c in combinations(range(bits), k)]
    masks = flips(bits, radius).tolist()
    assert sorted(masks) == sorted(expected)
    assert [m.bit_count() for m in masks] == sorted(m.bit_count() for m in masks)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    geometry=st.sampled_from([Geometry(32, 16), Geometry(32, 21), Geometry(8, 4), Geometry(8, 7)]),
    kind=st.sampled_from(KINDS),
    n=st.integers(0, 300),
    shift=st.sampled_from([0, 2, 4, 20]),
)
def test_postings_hold_the_rows_of_each_chunk_value_in_order(
    seed: int, geometry: Geometry, kind: str, n: int, shift: int
) -> None:
    codes = make_codes(kind, n, geometry.width, np.random.default_rng(seed))
    numbers = [int.from_bytes(code.tobytes(), "little") for code in codes]
    first = 0
    for chunk, bits in enumerate(geometry.chunk_bits):
        directory, postings = build_chunk(in_pieces(codes, shift), geometry, chunk)
        values = [number >> first & ((1 << bits) - 1) for number in numbers]
        assert len(directory) == (1 << bits) + 1
        assert np.array_equal(
            np.diff(directory), np.bincount(values, minlength=1 << bits) if n else 0 * directory[1:]
        )
        assert postings.tolist() == sorted(range(n), key=lambda row: (values[row], row))
        first += bits


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    geometry=st.sampled_from(
        [Geometry(32, 16), Geometry(32, 19), Geometry(32, 26), Geometry(8, 4), Geometry(8, 5)]
    ),
    kind=st.sampled_from(KINDS),
    n=st.one_of(st.integers(0, 3), st.integers(4, 1500)),
    queries=st.integers(0, 12),
    shift=st.sampled_from([2, 4, 20]),
    greatest=st.integers(0, 64),
)
def test_index_finds_what_comparing_with_everything_finds(
    seed: int, geometry: Geometry, kind: str, n: int, queries: int, shift: int, greatest: int
) -> None:
    random = np.random.default_rng(seed)
    codes = make_codes(kind, n, geometry.width, random)
    asked = make_queries(codes, queries, random)
    radii = random.integers(0, greatest + 1, queries).astype(np.uint32)
    if geometry.width == 8:
        radii //= 4
    column = in_pieces(codes, shift)
    index = build_index(column, geometry, 12)
    budgets = np.full(queries, UNBOUNDED, np.uint64)
    hits, over = search_index(column, index, asked, np.arange(queries, dtype=np.uint32), radii, budgets)
    assert len(over) == 0
    assert unpack(hits) == brute_force(codes, asked, radii)


def test_index_in_tiny_pieces_finds_the_same() -> None:
    random = np.random.default_rng(3)
    codes = make_codes("clustered", 500, 8, random)
    asked = make_queries(codes, 20, random)
    column, radii = in_pieces(codes, 2), np.full(20, 9, np.uint32)
    index = build_index(column, Geometry(8, 6), 3)
    budgets = np.full(20, UNBOUNDED, np.uint64)
    hits, _ = search_index(column, index, asked, np.arange(20, dtype=np.uint32), radii, budgets)
    assert unpack(hits) == brute_force(codes, asked, radii)


def test_a_query_that_everything_resembles_gives_up_and_leaves_no_hits() -> None:
    random = np.random.default_rng(4)
    codes = make_codes("random", 3000, 32, random)
    codes[:2000, :8] = 0
    asked = codes[[0, 2500]]
    column, radii = Column.of(codes), np.full(2, 31, np.uint32)
    index = build_index(column, Geometry(32, 16), 20)
    hits, over = search_index(
        column, index, asked, np.arange(2, dtype=np.uint32), radii, np.full(2, 1000, np.uint64)
    )
    assert over.tolist() == [0]
    assert unpack(hits) == [hit for hit in brute_force(codes, asked, radii) if hit[0] == 1]
