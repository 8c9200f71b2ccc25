from __future__ import annotations

import numpy as np
import pytest
from hamming_model import in_pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.arrays.columns import Column


@settings(max_examples=150, deadline=None)
@given(n=st.integers(0, 40), width=st.sampled_from([1, 3, 4, 8, 20]), shift=st.integers(0, 6), data=st.data())
def test_items_read_across_the_ends_of_pieces_are_those_of_the_array(
    n: int, width: int, shift: int, data: st.DataObject
) -> None:
    array = (np.arange(n * width) % 251).astype(np.uint8).reshape(n, width)
    start = data.draw(st.integers(0, max(0, n - 1)))
    items = data.draw(st.integers(0, n - start))
    for column in (in_pieces(array, shift), Column.of(array)):
        assert len(column) == n
        assert column.width == width
        if items:
            assert column.read(start, items) == array[start : start + items].tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64])
def test_an_array_of_one_dimension_has_an_item_an_element(dtype: type[np.generic]) -> None:
    column = Column.of(np.arange(5).astype(dtype))
    assert (len(column), column.width) == (5, np.dtype(dtype).itemsize)
    assert np.frombuffer(column.read(1, 3), dtype).tolist() == [1, 2, 3]


def test_a_column_keeps_its_array_alive() -> None:
    column = Column.of(np.full(1000, 7, np.uint8))
    others = [np.full(1000, 9, np.uint8) for _ in range(20)]
    assert column.read(0, 1000) == b"\x07" * 1000
    assert len(others) == 20


@pytest.mark.parametrize(
    "array", [np.zeros((4, 8), np.uint8)[:, ::2], np.zeros((4, 8), np.uint8).T, np.arange(9)[::2]]
)
def test_an_array_with_gaps_is_no_column(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        Column.of(array)
