"""Multi-index hashing: finds every code within a Hamming distance by looking up parts of it.

Codes are cut into m chunks. If two codes differ in at most r = m * a + b bits (b < m), then they
differ in at most a bits in one of the first b + 1 chunks or in at most a - 1 bits in one of the
others: if not, the differences would add up to (b + 1) * (a + 1) + (m - b - 1) * a = r + 1. So only
those codes have to be compared that differ from a query in so few bits of a chunk, and an index of
each chunk finds them.

Source: Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing",
IEEE TPAMI 36(6), 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.memory import load_u32, load_u64, popcount_u64, prefetch
from hashcore.near.hamming import distance_at, pack_hit

# Columns of the parameter matrix of `search_chunks`, which has a row for each chunk.
_BYTE, _BIT, _MASK, _DIRECTORY, _DIRECTORY_SHIFT, _POSTINGS, _POSTINGS_SHIFT = range(7)
_FIELDS = 7
_LOOKUPS = 1024  # buckets, and candidates, whose loads are started before the first is used
_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Geometry:
    """How codes are cut into chunks: as evenly as possible, wider ones first.

    Args:
        width: bytes in a code, 8 or 32.
        chunks: the number of chunks, m.
    """

    width: int
    chunks: int

    @property
    def chunk_bits(self) -> list[int]:
        """The bits in each chunk, m numbers."""
        narrow, wider = divmod(8 * self.width, self.chunks)
        return [narrow + (c < wider) for c in range(self.chunks)]

    def sub_radii(self, radius: int) -> list[int]:
        """How many bits may differ in each chunk; -1 for chunks that need no lookup."""
        a, b = divmod(radius, self.chunks)
        return [min(bits, a if c <= b else a - 1) for c, bits in enumerate(self.chunk_bits)]

    def lookups(self, radius: int) -> int:
        """How many buckets a query with this radius looks up."""
        return sum(
            sum(comb(bits, k) for k in range(sub_radius + 1))
            for bits, sub_radius in zip(self.chunk_bits, self.sub_radii(radius), strict=True)
        )

    def candidates(self, radius: int, codes: int) -> float:
        """How many codes a query is compared with on average if the codes are spread evenly."""
        return sum(
            codes * sum(comb(bits, k) for k in range(sub_radius + 1)) / (1 << bits)
            for bits, sub_radius in zip(self.chunk_bits, self.sub_radii(radius), strict=True)
        )

    def index_bytes(self, codes: int) -> int:
        """Bytes in all directories and postings of an index over some number of codes."""
        return 4 * sum((1 << bits) + 1 + codes for bits in self.chunk_bits)

    def place(self, chunk: int) -> tuple[int, int, int]:
        """Where a chunk lies: the byte at which to load a 64-bit word, the bit in it, the mask."""
        bits = self.chunk_bits
        first = sum(bits[:chunk])
        byte = min(first // 8, self.width - 8)
        return byte, first - 8 * byte, (1 << bits[chunk]) - 1


@lru_cache(maxsize=64)
def flips(bits: int, radius: int) -> NDArray[np.uint32]:
    """All numbers of `bits` bits with at most `radius` bits set, fewest first, uint32[...]."""
    weights = [np.zeros(1, np.uint32)]
    for _ in range(min(bits, radius)):
        last = weights[-1]
        weights.append(np.concatenate([last[last < 1 << p] | np.uint32(1 << p) for p in range(bits)]))
    masks = np.concatenate(weights)
    masks.flags.writeable = False
    return masks


@lru_cache(maxsize=64)
def flip_table(
    geometry: Geometry, radius: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint64]]:
    """The flips that searches up to a radius need.

    Returns:
        masks uint32[...], the flips for each width of chunk back to back; ends uint64[m, ...], how
        many flips of a chunk have fewer than j bits, by chunk and j; first_masks uint64[m], where
        the flips of each chunk start.
    """
    most = max(geometry.sub_radii(radius))
    bits = geometry.chunk_bits
    widths = sorted(set(bits))
    parts = [flips(width, most) for width in widths]
    starts = {width: sum(map(len, parts[:i])) for i, width in enumerate(widths)}
    ends = [[sum(comb(width, k) for k in range(j)) for j in range(most + 2)] for width in bits]
    first_masks = np.array([starts[width] for width in bits], np.uint64)
    return np.concatenate(parts), np.array(ends, np.uint64), first_masks


def chunk_parameters(
    geometry: Geometry, directories: Sequence[Column], postings: Sequence[Column]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Lay out for `search_chunks` the columns that `build_chunk` made, in the order of the chunks.

    Returns:
        parameters uint64[m, 7], where each chunk lies in a code and where its columns start in
        bases; bases uint64[...], the piece addresses of all columns back to back.
    """
    parameters = np.zeros((geometry.chunks, _FIELDS), np.uint64)
    pieces: list[NDArray[np.uint64]] = []
    used = 0
    for c, (directory, posting) in enumerate(zip(directories, postings, strict=True)):
        parameters[c, : _MASK + 1] = geometry.place(c)
        parameters[c, _DIRECTORY], parameters[c, _DIRECTORY_SHIFT] = used, directory.shift
        used += len(directory.bases)
        parameters[c, _POSTINGS], parameters[c, _POSTINGS_SHIFT] = used, posting.shift
        used += len(posting.bases)
        pieces += [directory.bases, posting.bases]
    return parameters, np.concatenate(pieces)


@nb.njit(cache=True, nogil=True, inline="always")
def _chunk_value(address: np.uint64, byte: np.uint64, bit: np.uint64, mask: np.uint64) -> np.uint64:
    return np.uint64((load_u64(address + byte) >> bit) & mask)


@nb.njit(cache=True, nogil=True)
def _count_and_place(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    place: NDArray[np.uint64],
    directory: NDArray[np.uint32],
    postings: NDArray[np.uint32],
) -> None:
    """Counting sort of rows by chunk value; the directory has two more slots than values."""
    byte, bit, mask = place[0], place[1], place[2]
    rows = np.uint64(postings.shape[0])
    one, two, ahead = np.uint64(1), np.uint64(2), np.uint64(_AHEAD)
    for i in range(rows):
        value = _chunk_value(item_address(bases, shift, width, np.uint64(i)), byte, bit, mask)
        directory[value + two] += np.uint32(1)
    for v in range(np.uint64(2), np.uint64(directory.shape[0])):
        directory[v] += directory[v - one]
    # Slot v + 1 now holds where bucket v begins. It moves to where the bucket ends, as slot v + 1
    # of a directory has to.
    targets = np.uint64(postings.ctypes.data)
    for i in range(rows):
        if i + ahead < rows:
            value = _chunk_value(item_address(bases, shift, width, np.uint64(i + ahead)), byte, bit, mask)
            prefetch(targets + np.uint64(4) * np.uint64(directory[value + one]))
        value = _chunk_value(item_address(bases, shift, width, np.uint64(i)), byte, bit, mask)
        postings[np.uint64(directory[value + one])] = np.uint32(i)
        directory[value + one] += np.uint32(1)


def build_chunk(codes: Column, geometry: Geometry, chunk: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Index one chunk of all codes. O(rows + 2**bits).

    Args:
        codes: the column of codes, fewer than 2**32.
        geometry: how to cut them, see `hashcore.near.nearest.choose_geometry`.
        chunk: the number of the chunk, from 0. The caller can write each one to disk before it
            builds the next.

    Returns:
        directory uint32[2**bits + 1] and postings uint32[rows]: the rows whose chunk has the value
        v, ascending, are postings[directory[v]:directory[v + 1]].
    """
    place = np.array(geometry.place(chunk), np.uint64)
    directory = np.zeros((1 << geometry.chunk_bits[chunk]) + 2, np.uint32)
    postings = np.empty(len(codes), np.uint32)
    _count_and_place(codes.bases, np.uint64(codes.shift), np.uint64(codes.width), place, directory, postings)
    return directory[:-1], postings


@nb.njit(cache=True, nogil=True, inline="always")
def _chunk_flips(ends: NDArray[np.uint64], chunk: int, radius: np.uint64) -> np.uint64:
    """How many flips of a chunk to try; `Geometry.sub_radii` has the rule."""
    chunks = np.uint64(ends.shape[0])
    reach = radius // chunks + np.uint64(np.uint64(chunk) <= radius % chunks)
    return np.uint64(ends[chunk, min(reach, np.uint64(ends.shape[1] - 1))])


@nb.njit(cache=True, nogil=True)
def _found_before(
    row: np.uint64,
    query: np.uint64,
    radius: np.uint64,
    chunk: int,
    parameters: NDArray[np.uint64],
) -> bool:
    """Whether an earlier chunk also leads from the query to the row."""
    chunks = np.uint64(parameters.shape[0])
    for c in range(chunk):
        byte, bit, mask = parameters[c, _BYTE], parameters[c, _BIT], parameters[c, _MASK]
        differing = ((load_u64(row + byte) ^ load_u64(query + byte)) >> bit) & mask
        if popcount_u64(differing) < radius // chunks + np.uint64(np.uint64(c) <= radius % chunks):
            return True
    return False


@nb.njit(cache=True, nogil=True)
def _open_buckets(
    values: NDArray[np.uint64],
    askers: NDArray[np.uint64],
    used: int,
    bases: NDArray[np.uint64],
    parameters: NDArray[np.uint64],
    budgets: NDArray[np.uint64],
    spent: NDArray[np.uint64],
) -> int:
    """Turn chunk values into ranges of postings, start << 32 | stop, without empty ones."""
    directory, directory_shift = bases[parameters[_DIRECTORY] :], parameters[_DIRECTORY_SHIFT]
    postings, postings_shift = bases[parameters[_POSTINGS] :], parameters[_POSTINGS_SHIFT]
    four = np.uint64(4)
    kept = 0
    for k in range(used):
        start = np.uint64(load_u32(item_address(directory, directory_shift, four, values[k])))
        stop = np.uint64(load_u32(item_address(directory, directory_shift, four, values[k] + np.uint64(1))))
        if start == stop:
            continue
        asker = askers[k]
        spent[asker] += stop - start
        if spent[asker] <= budgets[asker]:
            prefetch(item_address(postings, postings_shift, four, start))
            values[kept] = (start << np.uint64(32)) | stop
            askers[kept] = asker
            kept += 1
    return kept


@nb.njit(cache=True, nogil=True)
def _compare(
    candidates: NDArray[np.uint64],
    rows: NDArray[np.uint64],
    used: int,
    queries: NDArray[np.uint8],
    radii: NDArray[np.uint32],
    chunk: int,
    parameters: NDArray[np.uint64],
    found: int,
    hits: NDArray[np.uint64],
) -> int:
    """Compare candidates, query << 32 | row, at the addresses in `rows`, and write the hits."""
    width, base = np.uint64(queries.shape[1]), np.uint64(queries.ctypes.data)
    for k in range(used):
        number = candidates[k] >> np.uint64(32)
        query, radius = base + number * width, np.uint64(radii[number])
        distance = distance_at(rows[k], query, width)
        if distance <= radius and not _found_before(rows[k], query, radius, chunk, parameters):
            if found < hits.shape[0]:
                hits[found] = pack_hit(number, distance, candidates[k] & np.uint64(0xFFFFFFFF))
            found += 1
    return found


@nb.njit(cache=True, nogil=True)
def _follow(
    scratch: NDArray[np.uint64],
    used: int,
    codes: NDArray[np.uint64],
    shift: np.uint64,
    bases: NDArray[np.uint64],
    parameters: NDArray[np.uint64],
    chunk: int,
    queries: NDArray[np.uint8],
    radii: NDArray[np.uint32],
    budgets: NDArray[np.uint64],
    spent: NDArray[np.uint64],
    found: int,
    hits: NDArray[np.uint64],
) -> int:
    """Follow chunk values, whose directory slots are being fetched, to hits, level by level."""
    width = np.uint64(queries.shape[1])
    values, askers, candidates, rows = scratch[0], scratch[1], scratch[2], scratch[3]
    postings = bases[parameters[chunk, _POSTINGS] :]
    postings_shift = parameters[chunk, _POSTINGS_SHIFT]
    kept = _open_buckets(values, askers, used, bases, parameters[chunk], budgets, spent)
    waiting = 0
    for k in range(kept):
        query = askers[k] << np.uint64(32)
        for p in range(values[k] >> np.uint64(32), values[k] & np.uint64(0xFFFFFFFF)):
            row = np.uint64(load_u32(item_address(postings, postings_shift, np.uint64(4), np.uint64(p))))
            address = item_address(codes, shift, width, row)
            prefetch(address)
            # Stored pieces start 16 bytes into a page, so every other code lies across two lines.
            prefetch(address + width - np.uint64(1))
            candidates[waiting] = query | row
            rows[waiting] = address
            waiting += 1
            if waiting == _LOOKUPS:
                found = _compare(candidates, rows, waiting, queries, radii, chunk, parameters, found, hits)
                waiting = 0
    return _compare(candidates, rows, waiting, queries, radii, chunk, parameters, found, hits)


@nb.njit(cache=True, nogil=True)
def search_chunks(
    codes: NDArray[np.uint64],
    shift: np.uint64,
    bases: NDArray[np.uint64],
    parameters: NDArray[np.uint64],
    masks: NDArray[np.uint32],
    ends: NDArray[np.uint64],
    first_masks: NDArray[np.uint64],
    queries: NDArray[np.uint8],
    which: NDArray[np.uint32],
    radii: NDArray[np.uint32],
    budgets: NDArray[np.uint64],
    spent: NDArray[np.uint64],
    hits: NDArray[np.uint64],
) -> int:
    """Find every code within a distance of each query that stays within its budget.

    Args:
        codes, shift: the addresses of the pieces of the column of codes, and its shift.
        bases: uint64[...], and parameters: uint64[m, 7], see `chunk_parameters`.
        masks: uint32[...], ends: uint64[m, ...], and first_masks: uint64[m], see `flip_table`.
        queries: uint8[nq, width], width 8 or 32.
        which: uint32[c], which of the queries to look for.
        radii: uint32[nq], the greatest distance for each query, in bits.
        budgets: uint64[nq], how many candidates each query may have.
        spent: uint64[nq], receives how many each had; the hits of one that exceeds its budget are
            incomplete.
        hits: uint64[capacity], receives packed hits, see `hashcore.near.hamming.pack_hit`.

    Returns:
        How many hits there are; those beyond the capacity are counted, not written. All queries are
        looked up in one chunk after the other, so that they share what is cached of its directory.
        O(lookups + candidates), see `Geometry`.
    """
    width, base = np.uint64(queries.shape[1]), np.uint64(queries.ctypes.data)
    scratch = np.empty((4, _LOOKUPS), np.uint64)
    values, askers = scratch[0], scratch[1]
    spent[:] = np.uint64(0)
    found = 0
    for c in range(parameters.shape[0]):
        directory, directory_shift = bases[parameters[c, _DIRECTORY] :], parameters[c, _DIRECTORY_SHIFT]
        flipped = masks[first_masks[c] :]
        byte, bit, mask = parameters[c, _BYTE], parameters[c, _BIT], parameters[c, _MASK]
        used = 0
        for j in range(which.shape[0]):
            number = np.uint64(which[j])
            if spent[number] > budgets[number]:
                continue
            value = _chunk_value(base + number * width, byte, bit, mask)
            for k in range(_chunk_flips(ends, c, np.uint64(radii[number]))):
                values[used] = value ^ np.uint64(flipped[k])
                askers[used] = number
                prefetch(item_address(directory, directory_shift, np.uint64(4), values[used]))
                used += 1
                if used == _LOOKUPS:
                    found = _follow(
                        scratch, used, codes, shift, bases, parameters, c, queries, radii,
                        budgets, spent, found, hits,
                    )  # fmt: skip
                    used = 0
        found = _follow(
            scratch, used, codes, shift, bases, parameters, c, queries, radii,
            budgets, spent, found, hits,
        )  # fmt: skip
    return found
