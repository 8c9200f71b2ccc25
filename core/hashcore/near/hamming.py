"""Scanning: finds every code within a Hamming distance by comparing with all of them.

A block of codes is transposed to columns of 64-bit words, over which the popcount of a query
vectorises. The first look at a block counts only as many words as are needed to rule out nearly
every block, and branches once per block; only a block that may have a hit is searched row by row.
"""

from __future__ import annotations

from collections.abc import Callable

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.memory import load_u64, popcount_u64
from hashcore.rows import Digests

MOST_QUERIES = 1 << 23
"""The most queries of one search: hits have 23 bits for a query, 9 for a distance, 32 for a row."""

_DISTANCE_SHIFT, _QUERY_SHIFT = 32, 41
_BLOCK = 1024  # codes; of 256 bits they take 32 KB, of which the first look reads half or less
_FEWEST_TRANSPOSED = 4  # queries from which on transposing a block costs less than it saves
# Two unrelated codes differ in 32, 64 or 96 bits of 1, 2 or 3 words, with a standard deviation of
# 4, 5.7 or 6.9. Up to these radii, less than one in a hundred blocks of unrelated codes passes the
# first look.
_ONE_WORD_RADIUS, _TWO_WORDS_RADIUS = 11, 34
_FIRST_CAPACITY = 1 << 20  # hits; memory that is not touched costs nothing, a second search does


@nb.njit(cache=True, nogil=True, inline="always")
def pack_hit(query: np.uint64, distance: np.uint64, row: np.uint64) -> np.uint64:
    """Pack a hit into one word, so that hits sort by query, then distance, then row."""
    return np.uint64((query << np.uint64(_QUERY_SHIFT)) | (distance << np.uint64(_DISTANCE_SHIFT)) | row)


def hit_queries(hits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The query of each packed hit, int64[m]."""
    return (hits >> np.uint64(_QUERY_SHIFT)).astype(np.int64)


def hit_rows(hits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The row of each packed hit, int64[m]."""
    return (hits & np.uint64((1 << _DISTANCE_SHIFT) - 1)).astype(np.int64)


def hit_distances(hits: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The distance of each packed hit, int32[m]."""
    mask = np.uint64((1 << (_QUERY_SHIFT - _DISTANCE_SHIFT)) - 1)
    return ((hits >> np.uint64(_DISTANCE_SHIFT)) & mask).astype(np.int32)


def first_look_words(width: int, radius: int) -> int:
    """How many words of a code of `width` bytes the first look at a block counts."""
    if width == 8 or radius <= _ONE_WORD_RADIUS:
        return 1
    return 2 if radius <= _TWO_WORDS_RADIUS else 3


@nb.njit(cache=True, nogil=True, inline="always")
def distance_at(left: np.uint64, right: np.uint64, width: np.uint64) -> np.uint64:
    """The Hamming distance of two codes by address, width 8 or 32; no branch is mispredicted."""
    distance = popcount_u64(load_u64(left) ^ load_u64(right))
    if width == np.uint64(32):
        for at in (np.uint64(8), np.uint64(16), np.uint64(24)):
            distance += popcount_u64(load_u64(left + at) ^ load_u64(right + at))
    return np.uint64(distance)


@nb.njit(cache=True, nogil=True)
def _transpose(address: np.uint64, length: np.uint64, columns: NDArray[np.uint64]) -> None:
    """Copy codes to columns of words, last word first: sorted codes differ least in the first."""
    if columns.shape[0] == 1:
        only = columns[0]
        for i in range(length):
            only[i] = load_u64(address + (i << np.uint64(3)))
        return
    first, second, third = columns[0], columns[1], columns[2]
    for i in range(length):
        at = address + (i << np.uint64(5))
        first[i] = load_u64(at + np.uint64(24))
        second[i] = load_u64(at + np.uint64(16))
        third[i] = load_u64(at + np.uint64(8))


@nb.njit(cache=True, nogil=True)
def _least_over_one(a: NDArray[np.uint64], length: np.uint64, x: np.uint64) -> np.uint64:
    least = np.uint64(256)
    for i in range(length):
        least = min(least, popcount_u64(a[i] ^ x))
    return least


@nb.njit(cache=True, nogil=True)
def _least_over_two(
    a: NDArray[np.uint64], b: NDArray[np.uint64], length: np.uint64, x: np.uint64, y: np.uint64
) -> np.uint64:
    least = np.uint64(256)
    for i in range(length):
        least = min(least, popcount_u64(a[i] ^ x) + popcount_u64(b[i] ^ y))
    return least


@nb.njit(cache=True, nogil=True)
def _least_over_three(
    columns: NDArray[np.uint64], length: np.uint64, x: np.uint64, y: np.uint64, z: np.uint64
) -> np.uint64:
    a, b, c = columns[0], columns[1], columns[2]
    least = np.uint64(256)
    for i in range(length):
        least = min(least, popcount_u64(a[i] ^ x) + popcount_u64(b[i] ^ y) + popcount_u64(c[i] ^ z))
    return least


@nb.njit(cache=True, nogil=True)
def _least_possible(
    columns: NDArray[np.uint64], length: np.uint64, query: np.uint64, radius: np.uint64
) -> np.uint64:
    """A lower bound on the distance between the query and every code of the block."""
    if columns.shape[0] == 1:
        return np.uint64(_least_over_one(columns[0], length, load_u64(query)))
    x = load_u64(query + np.uint64(24))
    if radius <= np.uint64(_ONE_WORD_RADIUS):
        return np.uint64(_least_over_one(columns[0], length, x))
    y = load_u64(query + np.uint64(16))
    if radius <= np.uint64(_TWO_WORDS_RADIUS):
        return np.uint64(_least_over_two(columns[0], columns[1], length, x, y))
    return np.uint64(_least_over_three(columns, length, x, y, load_u64(query + np.uint64(8))))


@nb.njit(cache=True, nogil=True)
def _look_closely(
    address: np.uint64,
    length: np.uint64,
    width: np.uint64,
    query: np.uint64,
    radius: np.uint64,
    hit: np.uint64,
    found: int,
    hits: NDArray[np.uint64],
) -> int:
    """Compare a block row by row; `hit` is the packed hit of its first row at distance 0."""
    for i in range(length):
        distance = distance_at(address + i * width, query, width)
        if distance <= radius:
            if found < hits.shape[0]:
                hits[found] = hit + (distance << np.uint64(_DISTANCE_SHIFT)) + i
            found += 1
    return found


@nb.njit(cache=True, nogil=True)
def scan_codes(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    rows: np.uint64,
    queries: NDArray[np.uint8],
    which: NDArray[np.uint32],
    radii: NDArray[np.uint32],
    hits: NDArray[np.uint64],
) -> int:
    """Find every code within a distance of each query, comparing with all.

    Args:
        bases, shift: the column of codes.
        rows: how many codes it has.
        queries: uint8[nq, width], width 8 or 32.
        which: uint32[c], which of the queries to look for.
        radii: uint32[nq], the greatest distance for each query, in bits.
        hits: uint64[capacity], receives packed hits, see `pack_hit`.

    Returns:
        How many hits there are; those beyond the capacity are counted, not written. O(c * rows),
        bound by memory for few queries and by the popcount unit for many.
    """
    width = np.uint64(queries.shape[1])
    base = np.uint64(queries.ctypes.data)
    columns = np.empty((1 if queries.shape[1] == 8 else 3, _BLOCK), np.uint64)
    transposed = which.shape[0] >= _FEWEST_TRANSPOSED
    piece = np.uint64(1) << shift
    found = 0
    start = np.uint64(0)
    while start < rows:
        length = min(min(rows - start, np.uint64(_BLOCK)), piece - (start & (piece - np.uint64(1))))
        address = item_address(bases, shift, width, start)
        if transposed:
            _transpose(address, length, columns)
        for j in range(which.shape[0]):
            number = np.uint64(which[j])
            query, radius = base + number * width, np.uint64(radii[number])
            if transposed and _least_possible(columns, length, query, radius) > radius:
                continue
            hit = pack_hit(number, np.uint64(0), start)
            found = _look_closely(address, length, width, query, radius, hit, found, hits)
        start += length
    return found


class TooManyHits(Exception):
    """A search of several queries found more hits than it may hold at a time."""


def collect_hits(search: Callable[[NDArray[np.uint64]], int], most: int | None = None) -> NDArray[np.uint64]:
    """Run a search that counts all hits and writes those that fit; repeat it with room for all.

    Args:
        search: takes uint64[capacity], which receives packed hits, and returns how many there are.
        most: how many hits to hold at most; None for any number.

    Returns:
        The packed hits, uint64[m].

    Raises:
        TooManyHits: there are more than `most`.
    """
    capacity = _FIRST_CAPACITY
    while True:
        hits = np.empty(capacity, np.uint64)
        found = search(hits)
        if found <= capacity:
            return hits[:found]
        if most is not None and found > most:
            raise TooManyHits
        capacity = found


def scan(
    codes: Column,
    queries: Digests,
    which: NDArray[np.uint32],
    radii: NDArray[np.uint32],
    most: int | None = None,
) -> NDArray[np.uint64]:
    """Find every code within a distance of some queries; see `scan_codes` and `collect_hits`.

    Returns:
        Packed hits, uint64[m], in no particular order.
    """
    shift, rows = np.uint64(codes.shift), np.uint64(len(codes))
    return collect_hits(lambda hits: scan_codes(codes.bases, shift, rows, queries, which, radii, hits), most)
