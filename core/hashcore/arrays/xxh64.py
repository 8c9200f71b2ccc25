"""XXH64 over raw memory: checksums of stored pieces, identity tags of rows.

Source: Yann Collet, "xxHash fast digest algorithm", XXH64 (https://github.com/Cyan4973/xxHash,
doc/xxhash_spec.md). It is not cryptographic, and nothing here needs it to be.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import load_u8, load_u32, load_u64

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


@nb.njit(cache=True, nogil=True, inline="always")
def _rotate(value: np.uint64, left: int) -> np.uint64:
    return (value << np.uint64(left)) | (value >> np.uint64(64 - left))


@nb.njit(cache=True, nogil=True, inline="always")
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate(lane + word * _P2, 31) * _P1


@nb.njit(cache=True, nogil=True, inline="always")
def _merge(state: np.uint64, lane: np.uint64) -> np.uint64:
    return (state ^ _round(np.uint64(0), lane)) * _P1 + _P4


@nb.njit(cache=True, nogil=True)
def xxh64(address: np.uint64, length: np.uint64, seed: np.uint64) -> np.uint64:
    """The XXH64 of `length` bytes at `address`, as a 64-bit number. O(length)."""
    at = np.uint64(address)
    end = at + np.uint64(length)
    if length >= np.uint64(32):
        a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while at + np.uint64(32) <= end:
            a = _round(a, load_u64(at))
            b = _round(b, load_u64(at + np.uint64(8)))
            c = _round(c, load_u64(at + np.uint64(16)))
            d = _round(d, load_u64(at + np.uint64(24)))
            at += np.uint64(32)
        state = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        state = _merge(_merge(_merge(_merge(state, a), b), c), d)
    else:
        state = seed + _P5
    state += np.uint64(length)
    while at + np.uint64(8) <= end:
        state = _rotate(state ^ _round(np.uint64(0), load_u64(at)), 27) * _P1 + _P4
        at += np.uint64(8)
    if at + np.uint64(4) <= end:
        state = _rotate(state ^ (np.uint64(load_u32(at)) * _P1), 23) * _P2 + _P3
        at += np.uint64(4)
    while at < end:
        state = _rotate(state ^ (np.uint64(load_u8(at)) * _P5), 11) * _P1
        at += np.uint64(1)
    state = (state ^ (state >> np.uint64(33))) * _P2
    state = (state ^ (state >> np.uint64(29))) * _P3
    return np.uint64(state ^ (state >> np.uint64(32)))


@nb.njit(cache=True, nogil=True)
def mix_items(tags: NDArray[np.uint64], items: NDArray[np.uint8]) -> None:
    """Replace each tag by the XXH64 of the row's bytes, seeded with the tag.

    Args:
        tags: uint64[n], updated in place.
        items: uint8[n, width], C-contiguous.
    """
    base, width = np.uint64(items.ctypes.data), np.uint64(items.shape[1])
    for i in range(tags.shape[0]):
        tags[i] = xxh64(base + np.uint64(i) * width, width, tags[i])


@nb.njit(cache=True, nogil=True)
def mix_strings(tags: NDArray[np.uint64], data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """Like `mix_items`, for strings in Arrow layout, uint8[total] and int64[n + 1].

    An empty string leaves its tag as it is.
    """
    base = np.uint64(data.ctypes.data)
    for i in range(tags.shape[0]):
        start = np.uint64(offsets[i])
        length = np.uint64(offsets[i + 1]) - start
        if length > np.uint64(0):
            tags[i] = xxh64(base + start, length, tags[i])


def checksum(piece: NDArray[np.uint8]) -> int:
    """The XXH64 of the bytes of a contiguous array, with seed 0."""
    return int(xxh64(np.uint64(piece.ctypes.data), np.uint64(piece.nbytes), np.uint64(0)))
