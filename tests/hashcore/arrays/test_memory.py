from __future__ import annotations

import gc

import numba as nb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.memory import (
    as_writable,
    byteswap_u64,
    load_u8,
    load_u32,
    load_u64,
    multiply_high_u64,
    popcount_u64,
    prefetch,
)

MOST = 2**64 - 1
WORDS = st.integers(0, MOST) | st.sampled_from([0, 1, MOST, 1 << 63])


@nb.njit
def loaded(address: np.uint64) -> tuple[int, int, int]:
    prefetch(address)
    return load_u8(address), load_u32(address), load_u64(address)


@nb.njit
def turned(left: np.uint64, right: np.uint64) -> tuple[int, int, int]:
    return byteswap_u64(left), popcount_u64(left), multiply_high_u64(left, right)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=8, max_size=24), start=st.integers(0, 16))
def test_words_are_loaded_from_any_address(data: bytes, start: int) -> None:
    start = min(start, len(data) - 8)
    array = np.frombuffer(data, np.uint8)
    expected = tuple(int.from_bytes(data[start : start + size], "little") for size in (1, 4, 8))
    assert loaded(np.uint64(array.ctypes.data + start)) == expected


@settings(max_examples=100, deadline=None)
@given(left=WORDS, right=WORDS)
def test_instructions_do_what_python_does_with_whole_numbers(left: int, right: int) -> None:
    swapped = int.from_bytes(left.to_bytes(8, "little"))
    assert turned(np.uint64(left), np.uint64(right)) == (swapped, left.bit_count(), left * right >> 64)


@nb.njit
def touch(address: np.uint64) -> None:
    prefetch(address)


@pytest.mark.parametrize("address", [0, 1, MOST])
def test_a_prefetch_of_any_address_does_no_harm(address: int) -> None:
    touch(np.uint64(address))


@pytest.mark.parametrize("shape", [(0,), (0, 16), (12,), (3, 4)])
def test_a_read_only_array_looks_writable_and_is_the_same_memory(shape: tuple[int, ...]) -> None:
    array = np.frombuffer(bytes(range(np.prod(shape, dtype=int))), np.uint8).reshape(shape)
    view = as_writable(array)
    assert view.flags.writeable
    assert view.dtype == array.dtype
    assert np.array_equal(view, array)
    assert array.size == 0 or view.ctypes.data == array.ctypes.data


def test_a_writable_array_stays_what_it_is() -> None:
    array: NDArray[np.uint8] = np.zeros(4, np.uint8)
    assert as_writable(array) is array


def test_the_view_keeps_what_it_views_alive() -> None:
    frozen = np.full(100_000, 7, np.uint8)
    frozen.flags.writeable = False
    view = as_writable(frozen)
    del frozen
    gc.collect()
    others = [np.full(100_000, 9, np.uint8) for _ in range(10)]
    assert np.all(view == 7)
    assert len(others) == 10
