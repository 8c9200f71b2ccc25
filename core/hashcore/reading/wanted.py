"""Finding rows by what identifies their entries: external ids, or primary digests without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import gather, read_range, read_strings
from hashcore.arrays.memory import as_writable, load_u8
from hashcore.arrays.xxh64 import xxh64
from hashcore.disk.layout import Segment, open_column
from hashcore.disk.tombstones import NONE_DEAD, DeadRows, are_dead
from hashcore.rows import Strings

_SLAB_ROWS = 1 << 18
_SLOTS_PER_TEXT = 2


class Wanted:
    """Ids, or digests, to look for.

    Args:
        texts: the ids or digests; empty ones mean "no id" and are not looked for.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = list(dict.fromkeys(each for each in texts if each))
        self._strings = Strings.of(self._texts)
        self._found = np.zeros(len(self._texts), np.bool_)
        tags = np.empty(len(self._texts), np.uint64)
        _tag(as_writable(self._strings.data), self._strings.offsets, tags)
        self._order = np.argsort(tags)
        self._tags = tags[self._order]
        bits = max(8, (len(tags) * _SLOTS_PER_TEXT).bit_length())
        self._shift = np.uint64(64 - bits)
        self._ends = np.cumsum(np.bincount(self._tags >> self._shift, minlength=1 << bits)).astype(np.uint32)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def found(self) -> set[bytes]:
        """Those that some row has had so far, dead rows aside."""
        return {self._texts[index] for index in np.flatnonzero(self._found).tolist()}

    def rows(self, strings: Strings, dead: DeadRows = NONE_DEAD) -> DeadRows:
        """Indices of the strings that are wanted and not of dead rows, uint32[...], ascending."""
        data, offsets = as_writable(np.asarray(strings.data)), as_writable(np.asarray(strings.offsets))
        own = as_writable(self._strings.data), self._strings.offsets
        rows, which = np.empty((2, len(strings)), np.uint32)
        count = _select(data, offsets, *own, self._order, self._tags, self._ends, self._shift, rows, which)
        rows, which = rows[:count], which[:count]
        alive = ~are_dead(dead, rows)
        self._found[which[alive]] = True
        return rows[alive]

    def rows_by_id(self, transaction: Any, segment: Segment, dead: DeadRows) -> DeadRows:
        """Rows of a segment that have a wanted id and are not dead. O(rows)."""
        if "id_data" not in segment.columns:
            return NONE_DEAD
        offsets, data = (_column(transaction, segment, name) for name in ("id_offsets", "id_data"))
        return self._rows_of(segment, dead, lambda start, stop: read_strings(offsets, data, start, stop))

    def rows_by_digest(self, transaction: Any, segment: Segment, dead: DeadRows) -> DeadRows:
        """Rows of a segment that have a wanted primary digest, no id, and are not dead. O(rows)."""
        digests = _column(transaction, segment, segment.types[0])

        def read(start: int, stop: int) -> Strings:
            ends = digests.width * np.arange(stop - start + 1, dtype=np.int64)
            return Strings(read_range(digests, start, stop).ravel(), ends)

        rows = self._rows_of(segment, dead, read)
        if "id_offsets" in segment.columns:
            offsets = _column(transaction, segment, "id_offsets")
            starts, ends = (gather(offsets, rows + np.uint32(step)).view(f"u{offsets.width}") for step in (0, 1))
            rows = rows[(starts == ends).ravel()]
        return rows

    def _rows_of(self, segment: Segment, dead: DeadRows, read: Callable[[int, int], Strings]) -> DeadRows:
        parts = [NONE_DEAD]
        for start in range(0, segment.rows if len(self) else 0, _SLAB_ROWS):
            stop = min(start + _SLAB_ROWS, segment.rows)
            first, last = np.searchsorted(dead, (start, stop))
            parts.append(self.rows(read(start, stop), dead[first:last] - np.uint32(start)) + np.uint32(start))
        return np.concatenate(parts)


def _column(transaction: Any, segment: Segment, name: str) -> Column:
    return open_column(transaction, segment.number, name, segment.columns[name])


@nb.njit(cache=True, nogil=True)
def _tag(data: NDArray[np.uint8], offsets: NDArray[np.int64], tags: NDArray[np.uint64]) -> None:
    base = np.uint64(data.ctypes.data)
    for i in range(tags.shape[0]):
        length = np.uint64(offsets[i + 1] - offsets[i])
        tags[i] = xxh64(base + np.uint64(offsets[i]), length, np.uint64(0))


@nb.njit(cache=True, nogil=True)
def _select(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    wanted: NDArray[np.uint8],
    wanted_offsets: NDArray[np.int64],
    order: NDArray[np.int64],
    tags: NDArray[np.uint64],
    ends: NDArray[np.uint32],
    shift: np.uint64,
    rows: NDArray[np.uint32],
    which: NDArray[np.uint32],
) -> int:
    """List the strings that are wanted.

    Args:
        data, offsets: n strings in Arrow layout, uint8[total] and int64[n + 1]; empty ones are
            skipped.
        wanted, wanted_offsets: the w distinct strings that are wanted, in the same layout.
        order: int64[w], sorts the wanted strings by their XXH64.
        tags: uint64[w], the XXH64 of the wanted strings, in that order.
        ends: uint32[2**(64 - shift)], how many tags have leading bits up to each value.
        shift: by how many bits to shift a tag to get its leading bits.
        rows: uint32[n], receives the indices of the strings found, ascending.
        which: uint32[n], receives the index of the wanted string that each is equal to.

    Returns:
        How many strings were found. O(n) on average.
    """
    base, wanted_base = np.uint64(data.ctypes.data), np.uint64(wanted.ctypes.data)
    found = 0
    for i in range(offsets.shape[0] - 1):
        length = np.uint64(offsets[i + 1] - offsets[i])
        if length == np.uint64(0):
            continue
        address = base + np.uint64(offsets[i])
        tag = xxh64(address, length, np.uint64(0))
        slot = tag >> shift
        for at in range(ends[slot - np.uint64(1)] if slot else np.uint32(0), ends[slot]):
            other = order[at]
            start = wanted_offsets[other]
            if (
                tags[at] == tag
                and np.uint64(wanted_offsets[other + 1] - start) == length
                and _are_equal(address, wanted_base + np.uint64(start), length)
            ):
                rows[found] = np.uint32(i)
                which[found] = np.uint32(other)
                found += 1
                break
    return found


@nb.njit(cache=True, nogil=True)
def _are_equal(left: np.uint64, right: np.uint64, length: np.uint64) -> bool:
    at = np.uint64(0)
    while at < length and load_u8(left + at) == load_u8(right + at):
        at += np.uint64(1)
    return bool(at == length)
