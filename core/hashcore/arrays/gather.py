"""Copying rows out of columns, with prefetches ahead of their use."""

from __future__ import annotations

import ctypes

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.memory import load_u8, load_u32, prefetch
from hashcore.rows import Strings

_AHEAD = 24


@nb.njit(cache=True, nogil=True)
def _gather_words(
    bases: NDArray[np.uint64], shift: np.uint64, rows: NDArray[np.uint32], out: NDArray[np.uint32]
) -> None:
    n, words = rows.shape[0], out.shape[1]
    width = np.uint64(4 * words)
    for i in range(n):
        if i + _AHEAD < n:
            prefetch(item_address(bases, shift, width, np.uint64(rows[i + _AHEAD])))
        address = item_address(bases, shift, width, np.uint64(rows[i]))
        for w in range(words):
            out[i, w] = load_u32(address + np.uint64(4 * w))


@nb.njit(cache=True, nogil=True)
def _gather_bytes(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    rows: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> None:
    for i in range(rows.shape[0]):
        address = item_address(bases, shift, width, np.uint64(rows[i]))
        for w in range(out.shape[1]):
            out[i, w] = load_u8(address + np.uint64(w))


def gather(column: Column, rows: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Copy the items with these numbers, uint8[len(rows), width]. O(len(rows) * width)."""
    out = np.empty((len(rows), column.width), np.uint8)
    if column.width % 4 == 0:
        _gather_words(column.bases, np.uint64(column.shift), rows, out.view(np.uint32))
    else:
        _gather_bytes(column.bases, np.uint64(column.shift), np.uint64(column.width), rows, out)
    return out


def read_range(column: Column, start: int, stop: int) -> NDArray[np.uint8]:
    """Copy items start..stop of a column, uint8[stop - start, width]."""
    out = np.empty((stop - start, column.width), np.uint8)
    flat = out.reshape(-1)
    done = 0
    while start < stop:
        piece = start >> column.shift
        within = start - (piece << column.shift)
        # A column of one piece has a shift of 63: its end is not a number that fits a C integer.
        take = min(stop - start, (1 << column.shift) - within)
        length = take * column.width
        address = int(column.bases[piece]) + within * column.width
        ctypes.memmove(flat[done:].ctypes.data, address, length)
        done += length
        start += take
    return out


def read_strings(offsets: Column, data: Column, start: int, stop: int) -> Strings:
    """Copy strings start..stop of a column of n + 1 offsets and a column of their bytes."""
    ends = read_range(offsets, start, stop + 1).view(f"u{offsets.width}").ravel().astype(np.int64)
    return Strings(read_range(data, int(ends[0]), int(ends[-1])).ravel(), ends - ends[0])


@nb.njit(cache=True, nogil=True)
def _gather_strings(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: NDArray[np.uint32],
    out: NDArray[np.uint8],
    out_offsets: NDArray[np.int64],
) -> None:
    for i in range(rows.shape[0]):
        start, stop = offsets[rows[i]], offsets[rows[i] + np.uint32(1)]
        at = out_offsets[i]
        for j in range(stop - start):
            out[at + j] = data[start + j]


def gather_strings(strings: Strings, rows: NDArray[np.uint32]) -> Strings:
    """Copy the strings with these numbers, in this order."""
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.diff(strings.offsets)[rows], out=offsets[1:])
    data = np.empty(int(offsets[-1]), np.uint8)
    _gather_strings(strings.data, strings.offsets, rows, data, offsets)
    return Strings(data, offsets)
