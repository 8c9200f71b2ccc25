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

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.gather import read_range
from hashcore.arrays.memory import byteswap_u64, load_u64, multiply_high_u64, prefetch, store_u64
from hashcore.arrays.residency import passing
from hashcore.rows import Digests

BITS_PER_DIGEST = 16  # of a new filter
FEWEST_BITS_PER_DIGEST = 12  # of one that digests have been added to since
_GROUP = 64  # enough loads under way to hide the latency of memory, few enough for the first-level cache
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_SIX = np.uint64(63)


@nb.njit(cache=True, nogil=True, inline="always")
def _word_of(address: np.uint64, words: np.uint64) -> np.uint64:
    # By the leading bytes, as segments are sorted: filling the filter from one goes through memory
    # in order.
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
    filter_bases: NDArray[np.uint64],
    filter_shift: np.uint64,
    words: np.uint64,
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
) -> int:
    """Add all n digests of a column (items of `width` >= 16 bytes) to a filter in memory that may be written.

    Args:
        filter_bases: addresses of the filter's pieces, uint64[pieces].
        filter_shift: log2 of the words in a piece.
        words: 64-bit words in the filter, at least 1.
        bases, shift, width, n: the column.

    Returns:
        How many of them did not pass before: the digests that the filter has now got to hold. O(n).
    """
    slots = np.empty(_GROUP, np.uint64)
    bits = np.empty(_GROUP, np.uint64)
    total = np.uint64(n)
    start = np.uint64(0)
    fresh = 0
    while start < total:
        group = min(np.uint64(_GROUP), total - start)
        for j in range(group):
            address = item_address(bases, shift, width, start + np.uint64(j))
            slots[j] = item_address(filter_bases, filter_shift, np.uint64(8), _word_of(address, words))
            bits[j] = _bits_of(address)
            prefetch(slots[j])
        for j in range(group):
            word = load_u64(slots[j])
            # A page without a bit to set may be read-only: see `with_digests`.
            if (word & bits[j]) != bits[j]:
                store_u64(slots[j], word | bits[j])
                fresh += 1
        start += group
    return fresh


@nb.njit(cache=True, nogil=True)
def mark_pieces(
    filter_bases: NDArray[np.uint64],
    filter_shift: np.uint64,
    words: np.uint64,
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    marked: NDArray[np.bool_],
) -> None:
    """Mark the pieces of a filter that inserting all n digests of a column would change; see `insert_digests`."""
    for i in range(np.uint64(n)):
        address = item_address(bases, shift, width, np.uint64(i))
        slot = _word_of(address, words)
        bits = _bits_of(address)
        if (load_u64(item_address(filter_bases, filter_shift, np.uint64(8), slot)) & bits) != bits:
            marked[slot >> filter_shift] = True


@nb.njit(cache=True, nogil=True)
def count_missing(
    filter_bases: NDArray[np.uint64],
    filter_shift: np.uint64,
    words: np.uint64,
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
) -> int:
    """How many of the n digests of a column the filter does not let pass; see `insert_digests`."""
    slots = np.empty(_GROUP, np.uint64)
    total = np.uint64(n)
    start = np.uint64(0)
    missing = 0
    while start < total:
        group = min(np.uint64(_GROUP), total - start)
        for j in range(group):
            address = item_address(bases, shift, width, start + np.uint64(j))
            slots[j] = item_address(filter_bases, filter_shift, np.uint64(8), _word_of(address, words))
            prefetch(slots[j])
        for j in range(group):
            bits = _bits_of(item_address(bases, shift, width, start + np.uint64(j)))
            missing += (load_u64(slots[j]) & bits) != bits
        start += group
    return missing


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


def has_room(words: int, digests: int) -> bool:
    """Whether a filter of so many words may hold so many digests: 1.0 % of unknown ones pass at the limit."""
    return digests * FEWEST_BITS_PER_DIGEST <= words * 64


def build_filter(columns: list[Column], *, words: int | None = None) -> NDArray[np.uint64]:
    """Build the filter over the digests of several columns.

    Args:
        columns: the digests.
        words: 64-bit words of the filter; as many as `words_for` says when absent.

    Returns:
        uint64[words].
    """
    filter_words = np.zeros(words_for(sum(map(len, columns))) if words is None else words, np.uint64)
    for column in columns:
        insert_column(Column.of(filter_words), column)
    return filter_words


def insert_column(filter_words: Column, column: Column) -> int:
    """Add the digests of a column to a filter that may be written; see `insert_digests`."""
    if not len(filter_words):
        return 0
    return sum(int(insert_digests(*_arguments(filter_words, part))) for _, part in passing(column))


def missing_digests(filter_words: Column, column: Column) -> int:
    """How many digests of a column a filter does not let pass: none, if it is a filter over that column."""
    return int(count_missing(*_arguments(filter_words, column))) if len(filter_words) else len(column)


def changed_pieces(filter_words: Column, columns: list[Column]) -> list[int]:
    """Which pieces of a filter inserting the digests of some columns would change."""
    marked = np.zeros(len(filter_words.bases), np.bool_)
    for column in columns:
        for _, part in passing(column):
            mark_pieces(*_arguments(filter_words, part), marked)
    return [int(piece) for piece in np.flatnonzero(marked)]


def with_digests(
    filter_words: Column, columns: list[Column], pieces: list[int]
) -> tuple[dict[int, NDArray[np.uint64]], int]:
    """Insert the digests of some columns into copies of pieces of a filter; the filter itself stays as it is.

    Args:
        filter_words: the filter.
        columns: the digests.
        pieces: those to copy, at least the ones that change.

    Returns:
        The copies by piece, uint64[words of the piece] each, and how many digests did not pass
        before.
    """
    copies = {}
    bases = filter_words.bases.copy()
    for piece in pieces:
        start = piece << filter_words.shift
        stop = min(start + (1 << filter_words.shift), len(filter_words))
        copies[piece] = read_range(filter_words, start, stop).reshape(-1).view(np.uint64)
        bases[piece] = copies[piece].ctypes.data
    copied = Column(bases, filter_words.shift, len(filter_words), 8, copies)
    # A piece that was not copied is not written either: where all bits are set, nothing is stored.
    return copies, sum(insert_column(copied, column) for column in columns)


def _arguments(
    filter_words: Column, column: Column
) -> tuple[NDArray[np.uint64], np.uint64, np.uint64, NDArray[np.uint64], np.uint64, np.uint64, int]:
    return (
        filter_words.bases,
        np.uint64(filter_words.shift),
        np.uint64(len(filter_words)),
        column.bases,
        np.uint64(column.shift),
        np.uint64(column.width),
        len(column),
    )


def candidates(digests: Digests, filter_words: Column) -> NDArray[np.uint32]:
    """Indices of the digests that may be in the filtered columns; see `select_candidates`."""
    out = np.empty(len(digests) + 1, np.uint32)
    passed = select_candidates(
        digests, filter_words.bases, np.uint64(filter_words.shift), np.uint64(len(filter_words)), out
    )
    return out[:passed]
