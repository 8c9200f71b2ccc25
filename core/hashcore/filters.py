"""A filter in front of the tables: nearly every check misses, and a miss should cost one cache line.

A Bloom filter whose five bits for a digest all lie in one 64-bit word. With 16 bits a digest 0.43 %
of unknown digests pass; those that are in the set always pass.

Source: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", WEA 2007 (the
register-blocked variant).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.columns import Column, item_address
from hashcore.memory import byteswap_u64, load_u64, multiply_high_u64, prefetch
from hashcore.rows import Digests

BITS_PER_DIGEST = 16
_GROUP = 64  # enough loads under way to hide the latency of memory, few enough for the first-level cache
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_SIX = np.uint64(63)


@nb.njit(cache=True, nogil=True, inline="always")
def _word_of(address: np.uint64, words: np.uint64) -> np.uint64:
    # By the leading bytes, as segments are sorted: filling the filter from one goes through memory in order.
    return np.uint64(multiply_high_u64(byteswap_u64(load_u64(address)), words))


@nb.njit(cache=True, nogil=True, inline="always")
def _bits_of(address: np.uint64) -> np.uint64:
    # The second eight bytes choose the bits: independent of the word that the first eight choose.
    g = load_u64(address + np.uint64(8)) * _MIX
    one = np.uint64(1)
    return np.uint64(
        (one << (g >> np.uint64(58)))
        | (one << ((g >> np.uint64(52)) & _SIX))
        | (one << ((g >> np.uint64(46)) & _SIX))
        | (one << ((g >> np.uint64(40)) & _SIX))
        | (one << ((g >> np.uint64(34)) & _SIX))
    )


@nb.njit(cache=True, nogil=True)
def insert_digests(
    filter_words: NDArray[np.uint64], bases: NDArray[np.uint64], shift: np.uint64, width: np.uint64, n: int
) -> None:
    """Add all n digests of a column (items of `width` >= 16 bytes) to the filter. O(n)."""
    words = np.uint64(filter_words.shape[0])
    base = np.uint64(filter_words.ctypes.data)
    slots = np.empty(_GROUP, np.uint64)
    bits = np.empty(_GROUP, np.uint64)
    total = np.uint64(n)
    start = np.uint64(0)
    while start < total:
        group = min(np.uint64(_GROUP), total - start)
        for j in range(group):
            address = item_address(bases, shift, width, start + np.uint64(j))
            slots[j] = _word_of(address, words)
            bits[j] = _bits_of(address)
            prefetch(base + (slots[j] << np.uint64(3)))
        for j in range(group):
            filter_words[slots[j]] |= bits[j]
        start += group


@nb.njit(cache=True, nogil=True)
def select_candidates(
    digests: NDArray[np.uint8],
    bases: NDArray[np.uint64],
    shift: np.uint64,
    words: np.uint64,
    out: NDArray[np.uint32],
) -> np.int64:
    """List the digests that the filter lets pass.

    Args:
        digests: uint8[n, width], width >= 16, C-contiguous.
        bases: addresses of the filter's pieces, uint64[pieces].
        shift: log2 of the words in a piece.
        words: 64-bit words in the filter; 0 lets nothing pass.
        out: uint32[n + 1], receives the indices in ascending order.

    Returns:
        How many passed. O(n), one cache line a digest, no branch on the outcome.
    """
    if words == np.uint64(0):
        return np.int64(0)
    width = np.uint64(digests.shape[1])
    total = np.uint64(digests.shape[0])
    base = np.uint64(digests.ctypes.data)
    addresses = np.empty(_GROUP, np.uint64)
    bits = np.empty(_GROUP, np.uint64)
    passed = np.uint64(0)
    start = np.uint64(0)
    while start < total:
        group = min(np.uint64(_GROUP), total - start)
        for j in range(group):
            digest = base + (start + np.uint64(j)) * width
            address = item_address(bases, shift, np.uint64(8), _word_of(digest, words))
            addresses[j] = address
            bits[j] = _bits_of(digest)
            prefetch(address)
        for j in range(group):
            out[passed] = np.uint32(start + np.uint64(j))
            passed += np.uint64((load_u64(addresses[j]) & bits[j]) == bits[j])
        start += group
    return np.int64(passed)


def words_for(digests: int) -> int:
    """64-bit words for a filter over so many digests."""
    return -(-digests * BITS_PER_DIGEST // 64)


def build_filter(columns: list[Column]) -> NDArray[np.uint64]:
    """Build the filter over the digests of several columns, uint64[words]."""
    filter_words = np.zeros(words_for(sum(len(column) for column in columns)), np.uint64)
    for column in columns:
        insert_digests(filter_words, column.bases, np.uint64(column.shift), np.uint64(column.width), len(column))
    return filter_words


def candidates(digests: Digests, filter_words: Column) -> NDArray[np.uint32]:
    """Indices of the digests that may be in the filtered columns; see `select_candidates`."""
    out = np.empty(len(digests) + 1, np.uint32)
    passed = select_candidates(
        digests, filter_words.bases, np.uint64(filter_words.shift), np.uint64(len(filter_words)), out
    )
    return out[:passed]
