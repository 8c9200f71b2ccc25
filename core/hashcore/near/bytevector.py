"""Scanning byte vectors: finds every one within a Euclidean distance by comparing with all of them.

A block of 256 vectors is transposed, so that equal components lie side by side, and stays in the
cache while all queries pass over it. Squared distances grow by eight components at a time in 16-bit
sums that saturate. No sum within a radius does, as radii go up to 255 and 255**2 < 2**16 - 1. After
every step, one branch tells whether even the least sum is beyond the radius, which rules out the
block; if a block is left at the end, its sums are the squared distances.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.memory import add_square_u32, add_u16, load_u64, pointer_u8, square_u16
from hashcore.near.hamming import collect_hits, pack_hit
from hashcore.rows import Digests

WIDTH = 144
"""Components in a vector, one byte each."""

MOST_DISTANCE = 255
"""The greatest radius: it fits a packed hit, and no 16-bit sum saturates at its square."""

FEWEST_TRANSPOSED = 12
"""Queries from which on transposing a block costs less than it saves."""

_BLOCK = 256  # vectors: 36 KB
_PITCH = _BLOCK + 64  # an odd number of cache lines, so that the components of a vector use many cache sets
_STEPS = WIDTH // 8


@nb.njit(cache=True, nogil=True)
def _transpose(address: np.uint64, length: np.uint64, columns: NDArray[np.uint8]) -> None:
    for i in range(length):
        at = address + i * np.uint64(WIDTH)
        for word in range(np.uint64(WIDTH // 8)):
            eight = load_u64(at + (word << np.uint64(3)))
            for k in range(np.uint64(8)):
                columns[(word << np.uint64(3)) + k, i] = np.uint8(eight >> (k << np.uint64(3)))


@nb.njit(cache=True, nogil=True)
def _add_eight(
    c: NDArray[np.uint8], query: NDArray[np.uint8], step: int, sums: NDArray[np.uint16], length: np.uint64
) -> np.uint16:
    """Add the squares of eight components from all over the vector, and return the least sum."""
    s = _STEPS
    a, b, d, e = c[step], c[step + s], c[step + 2 * s], c[step + 3 * s]
    f, g, h, j = c[step + 4 * s], c[step + 5 * s], c[step + 6 * s], c[step + 7 * s]
    p, q, r, t = query[step], query[step + s], query[step + 2 * s], query[step + 3 * s]
    u, v, w, x = query[step + 4 * s], query[step + 5 * s], query[step + 6 * s], query[step + 7 * s]
    least = np.uint16(0xFFFF)
    for i in range(length):
        first = add_u16(square_u16(a[i], p), square_u16(b[i], q))
        second = add_u16(square_u16(d[i], r), square_u16(e[i], t))
        third = add_u16(square_u16(f[i], u), square_u16(g[i], v))
        fourth = add_u16(square_u16(h[i], w), square_u16(j[i], x))
        eight = add_u16(add_u16(first, second), add_u16(third, fourth))
        total = add_u16(sums[i], eight)
        sums[i] = total
        least = min(least, total)
    return least


@nb.njit(cache=True, nogil=True)
def _sum_all(
    columns: NDArray[np.uint8],
    query: NDArray[np.uint8],
    limit: np.uint16,
    sums: NDArray[np.uint16],
    length: np.uint64,
) -> bool:
    """Sum up the squared distances of a block, saturated.

    Returns False, with the sums unfinished, as soon as all of them are beyond the limit.
    """
    for i in range(length):
        sums[i] = 0
    step = 0
    while step < _STEPS and _add_eight(columns, query, step, sums, length) <= limit:
        step += 1
    return step == _STEPS


@nb.njit(cache=True, nogil=True)
def _distance_squared(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> np.uint32:
    total = np.uint32(0)
    for k in range(np.uint64(WIDTH)):
        total = add_square_u32(total, left[k], right[k])
    return total


@nb.njit(cache=True, nogil=True)
def _sum_rows(address: np.uint64, query: NDArray[np.uint8], sums: NDArray[np.uint16], length: np.uint64) -> None:
    """Sum up the squared distances of a block, saturated, without transposing it."""
    vectors = carray(pointer_u8(address), (int(length), WIDTH))
    for i in range(length):
        sums[i] = np.uint16(min(_distance_squared(vectors[i], query), np.uint32(0xFFFF)))


@nb.njit(cache=True, nogil=True)
def scan_vectors(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    rows: np.uint64,
    queries: NDArray[np.uint8],
    radii: NDArray[np.uint32],
    hits: NDArray[np.uint64],
) -> int:
    """Find every vector within a distance of each query, comparing with all.

    Args:
        bases, shift: the column of vectors.
        rows: how many vectors it has.
        queries: uint8[nq, WIDTH].
        radii: uint32[nq], the greatest distance for each query, up to MOST_DISTANCE.
        hits: uint64[capacity], receives packed hits, see `hashcore.near.hamming.pack_hit`; the
            distance is the Euclidean one, rounded up.

    Returns:
        How many hits there are; those beyond the capacity are counted, not written. O(nq * rows),
        bound by memory for one query.
    """
    width = np.uint64(WIDTH)
    transposed = queries.shape[0] >= FEWEST_TRANSPOSED
    columns = np.empty((WIDTH if transposed else 0, _PITCH), np.uint8)
    sums = np.empty(_BLOCK, np.uint16)
    piece = np.uint64(1) << shift
    found = 0
    start = np.uint64(0)
    while start < rows:
        length = min(min(rows - start, np.uint64(_BLOCK)), piece - (start & (piece - np.uint64(1))))
        address = item_address(bases, shift, width, start)
        if transposed:
            _transpose(address, length, columns)
        for j in range(np.uint64(queries.shape[0])):
            limit = np.uint16(radii[j] * radii[j])
            if not transposed:
                _sum_rows(address, queries[j], sums, length)
            elif not _sum_all(columns, queries[j], limit, sums, length):
                continue
            for i in range(length):
                if sums[i] <= limit:
                    if found < hits.shape[0]:
                        distance = np.uint64(np.ceil(np.sqrt(np.float64(sums[i]))))
                        hits[found] = pack_hit(np.uint64(j), distance, start + i)
                    found += 1
        start += length
    return found


def scan(
    codes: Column, queries: Digests, radii: NDArray[np.uint32], most: int | None = None
) -> NDArray[np.uint64]:
    """Find every vector within a distance of some queries; see `scan_vectors` and `collect_hits`.

    Returns:
        Packed hits, uint64[m], in no particular order.
    """
    shift, rows = np.uint64(codes.shift), np.uint64(len(codes))
    return collect_hits(lambda hits: scan_vectors(codes.bases, shift, rows, queries, radii, hits), most)
