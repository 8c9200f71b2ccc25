"""A filter in front of the tables: most checks miss, and a miss should cost one cache line.

It is a Bloom filter whose five bits for a digest all lie in one 64-bit word. With 16 bits per
digest, 0.43 % of unknown digests pass; known digests always pass.

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
FEWEST_BITS_PER_DIGEST = 12  # of one that digests have been added to
_GROUP = 64  # enough loads in flight to hide memory latency, few enough for the first-level cache
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_SIX = np.uint64(63)


@nb.njit(cache=True, nogil=True, inline="always")
def _word_of(address: np.uint64, words: np.uint64) -> np.uint64:
    # By the leading bytes, because segments are sorted: filling the filter from one walks through
    # memory in order.
    return np.uint64(multiply_high_u64(byteswap_u64(load_u64(address)), words))


@nb.njit(cache=True, nogil=True, inline="always")
def _bits_of(address: np.uint64) -> np.uint64:
    # The second eight bytes choose the bits, independent of the word, which the first eight choose.
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
    """Add all n digests of a column, of `width` >= 16 bytes, to a filter in writable memory.

    Args:
        filter_bases: addresses of the filter's pieces, uint64[pieces].
        filter_shift: log2 of the words in a piece.
        words: 64-bit words in the filter, at least 1.
        bases, shift, width, n: the column.

    Returns:
        How many of them did not pass before, which is how many the filter holds in addition. O(n).
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
            # Pages without a bit to set may be read-only, see `with_digests`.
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
    """Mark the pieces of a filter that adding the n digests of a column would change. O(n).

    `marked` is bool[pieces]; for the other arguments see `insert_digests`.
    """
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
    """Count the digests of a column that the filter stops; see `insert_digests`. O(n)."""
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
        How many passed. O(n), one cache line per digest, no branch on the outcome.
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
    """How many 64-bit words a new filter over some number of digests has."""
    return -(-digests * BITS_PER_DIGEST // 64)


def has_room(words: int, digests: int) -> bool:
    """Whether the words are enough for the digests; at the limit, 1.0 % of unknown ones pass."""
    return digests * FEWEST_BITS_PER_DIGEST <= words * 64


def build_filter(columns: list[Column], *, words: int | None = None) -> NDArray[np.uint64]:
    """Build the filter over the digests of several columns.

    Args:
        columns: the digests.
        words: 64-bit words in the filter; None for as many as `words_for` says.

    Returns:
        The filter, uint64[words]. O(digests).
    """
    filter_words = np.zeros(words_for(sum(map(len, columns))) if words is None else words, np.uint64)
    for column in columns:
        insert_column(Column.of(filter_words), column)
    return filter_words


def insert_column(filter_words: Column, column: Column) -> int:
    """Add the digests of a column to a filter in writable memory; see `insert_digests`."""
    if not len(filter_words):
        return 0
    return sum(int(insert_digests(*_arguments(filter_words, part))) for _, part in passing(column))


def missing_digests(filter_words: Column, column: Column) -> int:
    """Count the digests of a column that a filter stops; 0 if it is a filter over them."""
    return int(count_missing(*_arguments(filter_words, column))) if len(filter_words) else len(column)


def changed_pieces(filter_words: Column, columns: list[Column]) -> list[int]:
    """The pieces of a filter that adding the digests of some columns would change, ascending."""
    marked = np.zeros(len(filter_words.bases), np.bool_)
    for column in columns:
        for _, part in passing(column):
            mark_pieces(*_arguments(filter_words, part), marked)
    return [int(piece) for piece in np.flatnonzero(marked)]


def with_digests(
    filter_words: Column, columns: list[Column], pieces: list[int]
) -> tuple[dict[int, NDArray[np.uint64]], int]:
    """Add the digests of some columns to copies of pieces of a filter; the filter stays as it is.

    Args:
        filter_words: the filter.
        columns: the digests.
        pieces: the pieces to copy, at least those that change.

    Returns:
        The copies by piece, uint64[words of the piece] each; and how many digests did not pass
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
    # Pieces that were not copied are never written to, because no bit changes in them.
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
    """Indices of the digests that a filter lets pass, uint32[c]; see `select_candidates`."""
    out = np.empty(len(digests) + 1, np.uint32)
    passed = select_candidates(
        digests, filter_words.bases, np.uint64(filter_words.shift), np.uint64(len(filter_words)), out
    )
    return out[:passed]
