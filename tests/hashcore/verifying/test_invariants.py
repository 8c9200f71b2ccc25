"""The checks of single columns, against the rules said in Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.near.multiindex import Geometry, build_chunk
from hashcore.verifying.invariants import FINE, first_astray, first_descent, first_misfiled, first_unsorted

_digests = st.lists(st.integers(0, 40), max_size=30)


def packed(numbers: list[int], width: int = 16) -> NDArray[np.uint8]:
    """Digests that sort as the numbers do, spread over the leading bits."""
    raw = b"".join((number * 6).to_bytes(1, "big") + bytes(width - 1) for number in numbers)
    return np.frombuffer(raw, np.uint8).reshape(-1, width).copy()


def first(wrong: list[bool]) -> int:
    return wrong.index(True) if True in wrong else FINE


@given(
    numbers=st.lists(st.integers(0, 9), max_size=20),
    strict=st.booleans(),
    dtype=st.sampled_from(["u1", "u2", "u4", "u8"]),
)
def test_where_numbers_go_back(numbers: list[int], strict: bool, dtype: str) -> None:
    wrong = [i > 0 and (n < numbers[i - 1] or (strict and n == numbers[i - 1])) for i, n in enumerate(numbers)]
    assert first_descent(Column.of(np.array(numbers, dtype)), strict=strict) == first(wrong)


def test_where_numbers_go_back_from_one_slab_to_the_next() -> None:
    numbers = np.arange(1 << 20 | 5, dtype=np.uint32)
    assert first_descent(Column.of(numbers), strict=True) == FINE
    numbers[1 << 20 :] = 3
    assert first_descent(Column.of(numbers)) == 1 << 20


@given(
    numbers=_digests, order=st.none() | st.lists(st.integers(0, 35), min_size=30, max_size=30), sort=st.booleans()
)
def test_where_digests_are_not_in_order(numbers: list[int], order: list[int] | None, sort: bool) -> None:
    n = len(numbers)
    if sort and order is not None:
        order = sorted(range(n), key=numbers.__getitem__)
    elif sort:
        numbers = sorted(numbers)
    ranks = list(range(n)) if order is None else order[:n]
    wrong = [
        row >= n or row in ranks[:rank] or (rank > 0 and numbers[ranks[rank - 1]] > numbers[row])
        if all(before < n for before in ranks[:rank])
        else True
        for rank, row in enumerate(ranks)
    ]
    column = None if order is None else Column.of(np.array(ranks, np.uint32))
    found = first_unsorted(Column.of(packed(numbers)), column)
    assert found == first(wrong)
    assert not sort or found == FINE


@given(
    numbers=_digests, bits=st.integers(1, 6), damage=st.none() | st.tuples(st.integers(0, 64), st.integers(0, 40))
)
def test_where_a_directory_leads_astray(numbers: list[int], bits: int, damage: tuple[int, int] | None) -> None:
    numbers.sort()
    slots = [number * 6 >> (8 - bits) for number in numbers]
    directory = [sum(slot < at for slot in slots) for at in range((1 << bits) + 1)]
    if damage:
        directory[damage[0] % len(directory)] = damage[1]
    wrong = [not directory[slot] <= rank < directory[slot + 1] for rank, slot in enumerate(slots)]
    column = Column.of(np.array(directory, np.uint32))
    assert first_astray(Column.of(packed(numbers)), None, column, bits) == first(wrong)
    order = np.arange(len(numbers), dtype=np.uint32)[::-1].copy()
    backwards = Column.of(packed(numbers[::-1]))
    assert first_astray(backwards, Column.of(order), column, bits) == first(wrong)


@given(
    codes=st.lists(st.integers(0, 255), max_size=30),
    damage=st.none() | st.tuples(st.integers(0, 29), st.integers(0, 35)),
)
def test_where_postings_are_misfiled(codes: list[int], damage: tuple[int, int] | None) -> None:
    column = Column.of(np.array(codes, "<u8"))
    geometry = Geometry(8, 8)
    for chunk in (0, 3):
        directory, postings = build_chunk(column, geometry, chunk)
        if damage and codes:
            postings[damage[0] % len(codes)] = damage[1]
        values = [code >> 8 * chunk & 255 for code in codes]
        rows, ends = postings.tolist(), directory.tolist()
        wrong = [
            row >= len(codes) or row in rows[:at] or not ends[values[row]] <= at < ends[values[row] + 1]
            for at, row in enumerate(rows)
        ]
        found = first_misfiled(column, geometry, chunk, Column.of(directory), Column.of(postings))
        assert found == first(wrong)
        assert damage or found == FINE
