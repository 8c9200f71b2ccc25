"""What must hold for stored columns, checked item by item.

Every check returns the position of the first item that breaks the rule, or -1. The checks do not
trust the columns: a row number is checked before anything is read from that row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.gather import read_range
from hashcore.arrays.memory import load_u32, load_u64, prefetch
from hashcore.arrays.ordering import compare_digests, digest_prefix
from hashcore.near.multiindex import Geometry

FINE = -1
_SLAB = 1 << 20
_AHEAD = 24


def first_descent(column: Column, *, strict: bool = False) -> int:
    """Where a number is below the one before it. O(n).

    Args:
        column: little-endian unsigned numbers of 1, 2, 4 or 8 bytes.
        strict: equal numbers are wrong as well.
    """
    before: int | None = None
    for start, values in slabs(column):
        if before is not None:
            values = np.concatenate([np.array([before], values.dtype), values])
        wrong = values[1:] <= values[:-1] if strict else values[1:] < values[:-1]
        if wrong.any():
            return start + int(np.argmax(wrong)) + (before is None)
        before = int(values[-1])
    return FINE


def slabs(column: Column) -> Iterator[tuple[int, NDArray[np.unsignedinteger]]]:
    """Copy a column of unsigned numbers in slabs; yields where each slab starts, and the slab."""
    for start in range(0, len(column), _SLAB):
        stop = min(start + _SLAB, len(column))
        yield start, read_range(column, start, stop).reshape(-1).view(f"<u{column.width}")


def first_unsorted(digests: Column, order: Column | None = None) -> int:
    """Where digests are not ascending or, if there is an order, it is not a permutation. O(n).

    Args:
        digests: the digests in row order.
        order: uint32[n], the row at each rank; None if rank and row are the same.
    """
    permuted = order is not None
    ranks = Column.of(np.empty(0, np.uint32)) if order is None else order
    seen = np.zeros(len(digests) if permuted else 0, np.bool_)
    return int(_first_unsorted(*_place(digests), len(digests), *_place(ranks)[:2], permuted, seen))


def first_astray(digests: Column, order: Column | None, directory: Column, bits: int) -> int:
    """Where the directory's slot for a digest does not lead to its rank. O(n).

    Args:
        digests: the digests in row order.
        order: as for `first_unsorted`, which must have found no error.
        directory: uint32[2**bits + 1], see `hashcore.exact.tables.Table`.
        bits: leading bits of the directory.
    """
    permuted = order is not None
    ranks = Column.of(np.empty(0, np.uint32)) if order is None else order
    return int(
        _first_astray(
            *_place(digests), len(digests), *_place(ranks)[:2], permuted, *_place(directory)[:2], np.uint64(bits)
        )
    )


def first_misfiled(codes: Column, geometry: Geometry, chunk: int, directory: Column, postings: Column) -> int:
    """Where a posting is not a row, comes twice, or is not in the bucket of its code. O(rows).

    For the directory and the postings see `hashcore.near.multiindex.build_chunk`.
    """
    place = np.array(geometry.place(chunk), np.uint64)
    seen = np.zeros(len(codes), np.bool_)
    slots, rows = _place(directory), _place(postings)
    return int(_first_misfiled(*_place(codes), len(codes), place, slots[0], slots[1], rows[0], rows[1], seen))


def _place(column: Column) -> tuple[NDArray[np.uint64], np.uint64, np.uint64]:
    return column.bases, np.uint64(column.shift), np.uint64(column.width)


@nb.njit(cache=True, nogil=True)
def _first_unsorted(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    order: NDArray[np.uint64],
    order_shift: np.uint64,
    permuted: bool,
    seen: NDArray[np.bool_],
) -> np.int64:
    four, ahead, total = np.uint64(4), np.uint64(_AHEAD), np.uint64(n)
    before = np.uint64(0)
    for i in range(n):
        rank = np.uint64(i)
        row = rank
        if permuted:
            if rank + ahead < total:
                later = np.uint64(load_u32(item_address(order, order_shift, four, rank + ahead)))
                if later < total:
                    prefetch(item_address(bases, shift, width, later))
            row = np.uint64(load_u32(item_address(order, order_shift, four, rank)))
            if row >= total or seen[row]:
                return np.int64(rank)
            seen[row] = True
        at = item_address(bases, shift, width, row)
        if rank > np.uint64(0) and compare_digests(before, at, width) > 0:
            return np.int64(rank)
        before = at
    return np.int64(FINE)


@nb.njit(cache=True, nogil=True)
def _first_astray(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    order: NDArray[np.uint64],
    order_shift: np.uint64,
    permuted: bool,
    directory: NDArray[np.uint64],
    directory_shift: np.uint64,
    bits: np.uint64,
) -> np.int64:
    four, one, ahead, total = np.uint64(4), np.uint64(1), np.uint64(_AHEAD), np.uint64(n)
    for i in range(n):
        rank = np.uint64(i)
        row = rank
        if permuted:
            if rank + ahead < total:
                later = np.uint64(load_u32(item_address(order, order_shift, four, rank + ahead)))
                prefetch(item_address(bases, shift, width, later))
            row = np.uint64(load_u32(item_address(order, order_shift, four, rank)))
        slot = digest_prefix(item_address(bases, shift, width, row), width) >> (np.uint64(64) - bits)
        low = np.uint64(load_u32(item_address(directory, directory_shift, four, slot)))
        high = np.uint64(load_u32(item_address(directory, directory_shift, four, slot + one)))
        if rank < low or rank >= high:
            return np.int64(rank)
    return np.int64(FINE)


@nb.njit(cache=True, nogil=True)
def _first_misfiled(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    place: NDArray[np.uint64],
    directory: NDArray[np.uint64],
    directory_shift: np.uint64,
    postings: NDArray[np.uint64],
    postings_shift: np.uint64,
    seen: NDArray[np.bool_],
) -> np.int64:
    byte, bit, mask = place[0], place[1], place[2]
    four, one, ahead, total = np.uint64(4), np.uint64(1), np.uint64(_AHEAD), np.uint64(n)
    for i in range(n):
        at = np.uint64(i)
        if at + ahead < total:
            later = np.uint64(load_u32(item_address(postings, postings_shift, four, at + ahead)))
            if later < total:
                prefetch(item_address(bases, shift, width, later) + byte)
        row = np.uint64(load_u32(item_address(postings, postings_shift, four, at)))
        if row >= total or seen[row]:
            return np.int64(at)
        seen[row] = True
        value = np.uint64((load_u64(item_address(bases, shift, width, row) + byte) >> bit) & mask)
        low = np.uint64(load_u32(item_address(directory, directory_shift, four, value)))
        high = np.uint64(load_u32(item_address(directory, directory_shift, four, value + one)))
        if at < low or at >= high:
            return np.int64(at)
    return np.int64(FINE)
