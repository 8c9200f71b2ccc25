"""Tables: sorted digests with a directory by leading bits, searched in place.

A table answers "which rows have this digest?" for one hash type of one segment. Its digests are
sorted; a directory by their leading bits leads to about eight of them, in which a binary search
finds the digest. For the primary hash type of a segment, rows are in the order of the table; for
every other type, a permutation leads from the sorted order to the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.memory import load_u32, prefetch
from hashcore.arrays.ordering import compare_digests, digest_prefix
from hashcore.rows import Digests

ROWS_PER_SLOT = 8
_GROUP = 32
# Columns of the parameter matrix of `search_tables`, which has a row for each table.
_ROWS, _BITS, _DIRECTORY, _DIRECTORY_SHIFT, _DIGESTS, _DIGESTS_SHIFT, _ORDER, _ORDER_SHIFT, _PERMUTED = range(9)


@dataclass(frozen=True, slots=True)
class Table:
    """One sorted hash column of a segment.

    Args:
        digests: the digests in row order, which is sorted if `order` is None.
        directory: uint32[2**bits + 1], the rank of the first digest with each pattern of leading
            bits.
        bits: leading bits that the directory distinguishes, at least 1.
        order: uint32[rows], the row at each rank; None if rank and row are the same.
    """

    digests: Column
    directory: Column
    bits: int
    order: Column | None = None


def directory_bits(rows: int) -> int:
    """Leading bits of a directory whose slots lead to about `ROWS_PER_SLOT` rows each."""
    return max(1, (rows // ROWS_PER_SLOT).bit_length())


@nb.njit(cache=True, nogil=True)
def count_slots(prefixes: NDArray[np.uint64], bits: int, counts: NDArray[np.uint32]) -> None:
    """Count digests in the slots of a directory under construction. O(n).

    Args:
        prefixes: uint64[n], their prefixes, see `hashcore.arrays.ordering.digest_prefix`.
        bits: leading bits of the directory.
        counts: uint32[2**bits + 1]; digests of slot s are counted at s + 1, so that a running sum
            makes the directory.
    """
    shift = np.uint64(64 - bits)
    for i in range(prefixes.shape[0]):
        counts[(prefixes[i] >> shift) + np.uint64(1)] += np.uint32(1)


@nb.njit(cache=True, nogil=True, inline="always")
def _row_at(
    rank: np.uint64,
    bases: NDArray[np.uint64],
    first: np.uint64,
    shift: np.uint64,
    permuted: np.uint64,
) -> np.uint64:
    if permuted == np.uint64(0):
        return rank
    return np.uint64(load_u32(item_address(bases[first:], shift, np.uint64(4), rank)))


@nb.njit(cache=True, nogil=True)
def search_tables(
    digests: NDArray[np.uint8],
    candidates: NDArray[np.uint32],
    parameters: NDArray[np.uint64],
    bases: NDArray[np.uint64],
    most: int,
    out_queries: NDArray[np.uint32],
    out_tables: NDArray[np.uint32],
    out_rows: NDArray[np.uint32],
) -> int:
    """Find the rows of every table that have each candidate digest.

    Args:
        digests: uint8[n, width].
        candidates: uint32[c], which of them to look for.
        parameters: uint64[tables, 9] and bases uint64[...], see `TableGroup`.
        most: how many rows to report for one digest in one table.
        out_queries, out_tables, out_rows: uint32[capacity] each, receive the triples found.

    Returns:
        How many triples there are; those beyond the capacity are counted, not written. Two to four
        cache misses per candidate and table, most of them prefetched.
    """
    width = np.uint64(digests.shape[1])
    queries_base = np.uint64(digests.ctypes.data)
    capacity = out_queries.shape[0]
    slots = np.empty(_GROUP, np.uint64)
    lows = np.empty(_GROUP, np.uint64)
    highs = np.empty(_GROUP, np.uint64)
    one = np.uint64(1)
    found = 0
    for start in range(0, candidates.shape[0], _GROUP):
        group = min(_GROUP, candidates.shape[0] - start)
        for t in range(parameters.shape[0]):
            directory_bases = bases[parameters[t, _DIRECTORY] :]
            directory_shift = parameters[t, _DIRECTORY_SHIFT]
            digest_bases = bases[parameters[t, _DIGESTS] :]
            digest_shift = parameters[t, _DIGESTS_SHIFT]
            order_first, order_shift = parameters[t, _ORDER], parameters[t, _ORDER_SHIFT]
            permuted = parameters[t, _PERMUTED]
            slot_shift = np.uint64(64) - parameters[t, _BITS]
            rows = parameters[t, _ROWS]
            for j in range(group):
                query = queries_base + np.uint64(candidates[start + j]) * width
                slots[j] = digest_prefix(query, width) >> slot_shift
                prefetch(item_address(directory_bases, directory_shift, np.uint64(4), slots[j]))
            for j in range(group):
                lows[j] = load_u32(item_address(directory_bases, directory_shift, np.uint64(4), slots[j]))
                highs[j] = load_u32(item_address(directory_bases, directory_shift, np.uint64(4), slots[j] + one))
                middle = (lows[j] + highs[j]) >> one
                if middle < rows and permuted == np.uint64(0):
                    prefetch(item_address(digest_bases, digest_shift, width, middle))
            for j in range(group):
                query = queries_base + np.uint64(candidates[start + j]) * width
                low, high = lows[j], highs[j]
                while low < high:
                    middle = (low + high) >> one
                    row = _row_at(middle, bases, order_first, order_shift, permuted)
                    at = item_address(digest_bases, digest_shift, width, row)
                    if compare_digests(at, query, width) < 0:
                        low = middle + one
                    else:
                        high = middle
                reported = 0
                while low < rows and reported < most:
                    row = _row_at(low, bases, order_first, order_shift, permuted)
                    at = item_address(digest_bases, digest_shift, width, row)
                    if compare_digests(at, query, width) != 0:
                        break
                    if found < capacity:
                        out_queries[found] = candidates[start + j]
                        out_tables[found] = np.uint32(t)
                        out_rows[found] = np.uint32(row)
                    found += 1
                    reported += 1
                    low += one
    return found


@dataclass(frozen=True, slots=True)
class TableGroup:
    """Several tables of one hash type, searched in one compiled call.

    Args:
        width: bytes in a digest.
        parameters: uint64[tables, 9], for each table its rows and bits, where its columns start in
            `bases`, their shifts, and whether it has an order.
        bases: uint64[...], the piece addresses of all columns back to back.
        owners: what keeps the addresses valid.
    """

    width: int
    parameters: NDArray[np.uint64]
    bases: NDArray[np.uint64]
    owners: tuple[object, ...]

    @classmethod
    def of(cls, width: int, tables: Sequence[Table]) -> TableGroup:
        """Lay out the addresses of several tables for `search_tables`."""
        parameters = np.zeros((len(tables), 9), np.uint64)
        pieces: list[NDArray[np.uint64]] = [np.zeros(1, np.uint64)]
        used = 1

        def place(column: Column) -> tuple[int, int]:
            nonlocal used
            first = used
            pieces.append(column.bases)
            used += len(column.bases)
            return first, column.shift

        for row, table in zip(parameters, tables, strict=True):
            row[_ROWS], row[_BITS] = len(table.digests), table.bits
            row[_DIRECTORY], row[_DIRECTORY_SHIFT] = place(table.directory)
            row[_DIGESTS], row[_DIGESTS_SHIFT] = place(table.digests)
            if table.order is not None:
                row[_ORDER], row[_ORDER_SHIFT] = place(table.order)
                row[_PERMUTED] = 1
        return cls(width, parameters, np.concatenate(pieces), tuple(tables))

    def search(
        self, digests: Digests, candidates: NDArray[np.uint32], most: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
        """Find the rows of all tables that have candidate digests; see `search_tables`.

        Returns:
            queries, tables and rows, uint32[m] each, in no particular order.
        """
        capacity = len(candidates) + 64
        while True:
            queries, tables, rows = (np.empty(capacity, np.uint32) for _ in range(3))
            found = search_tables(digests, candidates, self.parameters, self.bases, most, queries, tables, rows)
            if found <= capacity:
                return queries[:found], tables[:found], rows[:found]
            capacity = int(found)
