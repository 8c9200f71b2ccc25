"""Sorting rows by digest: a radix sort that stays within the caches, exact for any digests."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import byteswap_u64, load_u32, load_u64
from hashcore.rows import Digests

MOST_ROWS = 1 << 24
"""The most rows that one call sorts: a key has 24 bits for the row number, 40 for the digest."""

_ROW_BITS = 24
_INSERTION_LIMIT = 24
_BUCKET = 2048  # keys in a bucket: 16 KB, half a first-level cache


@nb.njit(cache=True, nogil=True, inline="always")
def digest_prefix(address: np.uint64, width: np.uint64) -> np.uint64:
    """The first eight bytes of a digest, as a number that sorts like the digest."""
    return np.uint64(byteswap_u64(load_u64(address)))


@nb.njit(cache=True, nogil=True)
def digest_prefixes(digests: NDArray[np.uint8], out: NDArray[np.uint64]) -> None:
    """Write the `digest_prefix` of each row of uint8[n, width], width >= 8, to uint64[n]. O(n)."""
    base, width = np.uint64(digests.ctypes.data), np.uint64(digests.shape[1])
    for i in range(digests.shape[0]):
        out[i] = digest_prefix(base + np.uint64(i) * width, width)


@nb.njit(cache=True, nogil=True)
def _insertion_sort(keys: NDArray[np.uint64], start: int, stop: int) -> None:
    for i in range(start + 1, stop):
        key = keys[i]
        j = i
        while j > start and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@nb.njit(cache=True, nogil=True)
def _scatter(
    source: NDArray[np.uint64],
    target: NDArray[np.uint64],
    start: int,
    stop: int,
    shift: np.uint64,
    ends: NDArray[np.int64],
) -> None:
    """Scatter source[start:stop] to target by the bits above `shift`; ends[b] is bucket b's end."""
    mask = np.uint64(ends.shape[0] - 1)
    ends[:] = 0
    for i in range(start, stop):
        ends[(source[i] >> shift) & mask] += 1
    total = start
    for b in range(ends.shape[0]):
        count = ends[b]
        ends[b] = total
        total += count
    for i in range(start, stop):
        key = source[i]
        b = (key >> shift) & mask
        target[ends[b]] = key
        ends[b] += 1


@nb.njit(cache=True, nogil=True)
def _sort_keys(keys: NDArray[np.uint64], spare: NDArray[np.uint64], first_bits: int) -> None:
    """Sort distinct 64-bit keys: two scatters by leading bits, then insertion sort or quicksort.

    Quicksort is for skewed buckets. `spare` is uint64[n] of scratch space.
    """
    n = keys.shape[0]
    ends = np.empty(1 << first_bits, np.int64)
    _scatter(keys, spare, 0, n, np.uint64(64 - first_bits), ends)
    inner_ends = np.empty(256, np.int64)
    start = 0
    for b in range(ends.shape[0]):
        stop = ends[b]
        if stop - start <= _INSERTION_LIMIT:
            for i in range(start, stop):
                keys[i] = spare[i]
            _insertion_sort(keys, start, stop)
        else:
            _scatter(spare, keys, start, stop, np.uint64(56 - first_bits), inner_ends)
            inner = start
            for c in range(256):
                if inner_ends[c] - inner > _INSERTION_LIMIT:
                    keys[inner : inner_ends[c]].sort()
                else:
                    _insertion_sort(keys, inner, inner_ends[c])
                inner = inner_ends[c]
        start = stop


@nb.njit(cache=True, nogil=True)
def _pack_keys(digests: NDArray[np.uint8], keys: NDArray[np.uint64]) -> None:
    """Make keys that sort like the digests: bits from the first that differs, and the row."""
    base, width = np.uint64(digests.ctypes.data), np.uint64(digests.shape[1])
    n = np.uint64(digests.shape[0])
    low = np.uint64((1 << _ROW_BITS) - 1)
    differing = np.uint64(0)
    for i in range(n):
        keys[i] = digest_prefix(base + i * width, width)
        differing |= keys[i] ^ keys[0]
    common = np.uint64(0)
    while common < np.uint64(_ROW_BITS) and (differing << common) >> np.uint64(63) == np.uint64(0):
        common += np.uint64(1)
    for i in range(n):
        keys[i] = ((keys[i] << common) & ~low) | i


@nb.njit(cache=True, nogil=True, inline="always")
def compare_digests(left: np.uint64, right: np.uint64, width: np.uint64) -> int:
    """Compare two digests in memory like memcmp: -1, 0 or 1; width is a multiple of 4, >= 8."""
    at = np.uint64(0)
    while at + np.uint64(8) <= width:
        a, b = byteswap_u64(load_u64(left + at)), byteswap_u64(load_u64(right + at))
        if a != b:
            return -1 if a < b else 1
        at += np.uint64(8)
    if at < width:
        a = byteswap_u64(np.uint64(load_u32(left + at)))
        b = byteswap_u64(np.uint64(load_u32(right + at)))
        if a != b:
            return -1 if a < b else 1
    return 0


@nb.njit(cache=True, nogil=True)
def _comes_before(
    base: np.uint64, width: np.uint64, tags: NDArray[np.uint64], left: np.uint32, right: np.uint32
) -> bool:
    order = compare_digests(base + np.uint64(left) * width, base + np.uint64(right) * width, width)
    if order != 0:
        return order < 0
    if tags[left] != tags[right]:
        return bool(tags[left] < tags[right])
    return bool(left < right)


@nb.njit(cache=True, nogil=True)
def _settle_ties(
    keys: NDArray[np.uint64],
    digests: NDArray[np.uint8],
    tags: NDArray[np.uint64],
    order: NDArray[np.uint32],
    long_ties: NDArray[np.int64],
) -> int:
    """Order rows whose keys differ only in the row by the whole digest, then the tag, then the row.

    Long runs of ties are left as they are. Returns how many there are; their [start, stop) pairs
    are in `long_ties`.
    """
    base, width = np.uint64(digests.ctypes.data), np.uint64(digests.shape[1])
    low = np.uint64((1 << _ROW_BITS) - 1)
    n = keys.shape[0]
    found = 0
    for i in range(n):
        order[i] = np.uint32(keys[i] & low)
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and (keys[stop] | low) == (keys[start] | low):
            stop += 1
        if stop - start > _INSERTION_LIMIT:
            long_ties[2 * found] = start
            long_ties[2 * found + 1] = stop
            found += 1
        else:
            for i in range(start + 1, stop):
                row = order[i]
                j = i
                while j > start and _comes_before(base, width, tags, row, order[j - 1]):
                    order[j] = order[j - 1]
                    j -= 1
                order[j] = row
        start = stop
    return found


def _sort_long_tie(digests: Digests, tags: NDArray[np.uint64], rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
    words = digests[rows].view(">u4")
    keys: list[NDArray[Any]] = [rows, tags[rows], *words.T[::-1]]
    return rows[np.lexsort(keys)]


def sort_rows(digests: Digests, tags: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Find the order that sorts rows by digest, then tag, then row number.

    Args:
        digests: uint8[n, width], n <= MOST_ROWS, width >= 8 and a multiple of 4.
        tags: uint64[n].

    Returns:
        uint32[n], the permutation. O(n) for digests that look random, O(n log n) for any.
    """
    n = len(digests)
    if n > MOST_ROWS:
        raise ValueError(f"can sort {MOST_ROWS} rows at a time, got {n}")
    keys = np.empty(n, np.uint64)
    _pack_keys(digests, keys)
    first_bits = min(12, max(1, (n // _BUCKET).bit_length()))
    _sort_keys(keys, np.empty_like(keys), first_bits)
    order = np.empty(n, np.uint32)
    long_ties = np.empty(2 * (n // _INSERTION_LIMIT + 1), np.int64)
    for tie in range(_settle_ties(keys, digests, tags, order, long_ties)):
        start, stop = long_ties[2 * tie], long_ties[2 * tie + 1]
        order[start:stop] = _sort_long_tie(digests, tags, order[start:stop])
    return order
