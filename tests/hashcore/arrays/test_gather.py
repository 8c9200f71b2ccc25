from __future__ import annotations

import numpy as np
from hamming_model import in_pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import gather, gather_strings, read_range
from hashcore.rows import Strings

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 8, 16, 20, 32])
SHIFTS = st.integers(0, 8)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 300), width=WIDTHS, shift=SHIFTS, rows=st.integers(0, 100))
def test_rows_are_gathered_as_numpy_indexes_them(seed: int, n: int, width: int, shift: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    array = random.integers(0, 256, (n, width), np.uint8)
    chosen = random.integers(0, n, rows).astype(np.uint32)
    for column in (in_pieces(array, shift), Column.of(array)):
        got = gather(column, chosen)
        assert got.dtype == np.uint8
        assert np.array_equal(got, array[chosen])


@settings(max_examples=120, deadline=None)
@given(n=st.integers(0, 300), width=WIDTHS, shift=SHIFTS, data=st.data())
def test_a_range_is_read_across_the_ends_of_pieces(n: int, width: int, shift: int, data: st.DataObject) -> None:
    array = (np.arange(n * width) % 251).astype(np.uint8).reshape(n, width)
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    for column in (in_pieces(array, shift), Column.of(array)):
        assert np.array_equal(read_range(column, start, stop), array[start:stop])


@settings(max_examples=120, deadline=None)
@given(texts=st.lists(st.binary(max_size=30), min_size=1, max_size=40), data=st.data())
def test_strings_are_gathered_as_a_list_is_indexed(texts: list[bytes], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=60))
    packed = Strings.of(texts)
    got = gather_strings(Strings(packed.data.copy(), packed.offsets), np.array(rows, np.uint32))
    assert [got[i] for i in range(len(got))] == [texts[row] for row in rows]
    assert got.offsets[0] == 0
