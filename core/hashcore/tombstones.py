"""Tombstones: rows of a segment that have been withdrawn, found by their external ids.

A segment never changes, so what is withdrawn lies beside it: the sorted numbers of its dead rows, an object
of their own that the manifest names. They go when the segment is merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.columns import Column
from hashcore.gather import read_range
from hashcore.layout import HashSet, Segment, Tombstones, open_column
from hashcore.memory import as_writable
from hashcore.rows import Strings
from hashcore.runs import Run, Shape
from hashcore.staging import ColumnWriter, Stage
from hashcore.xxh64 import xxh64

DeadRows = NDArray[np.uint32]
"""Row numbers of a segment, uint32[dead], ascending."""

NONE_DEAD: DeadRows = np.empty(0, np.uint32)
_SLAB_ROWS = 1 << 18
_SLOTS_PER_ID = 8


def read_tombstones(transaction: Any, entry: HashSet) -> dict[int, DeadRows]:
    """Copy the dead rows of a set out, by the number of their segment."""
    dead = {}
    for each in entry.tombstones:
        column = open_column(transaction, each.number, "dead", each.rows)
        dead[each.segment] = read_range(column, 0, len(column)).reshape(-1).view(np.uint32)
    return dead


def write_tombstones(stage: Stage, segment: int, dead: DeadRows) -> Tombstones:
    """Stage the dead rows of a segment."""
    number = stage.new_object()
    writer = ColumnWriter(stage, number, "dead", 4)
    writer.append(dead)
    return Tombstones(segment, number, writer.finish())


def are_dead(dead: DeadRows, rows: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which rows are among the dead ones, bool[n]. O(n log dead)."""
    if not len(dead):
        return np.zeros(len(rows), np.bool_)
    at = np.searchsorted(dead, rows.astype(np.uint32))
    dead_or_not: NDArray[np.bool_] = dead[np.minimum(at, len(dead) - 1)] == rows
    return dead_or_not


class WantedIds:
    """External ids to look for.

    Args:
        ids: empty ones stand for "no id" and are not looked for.

    Attributes:
        found: those that some row looked at has.
    """

    def __init__(self, ids: Iterable[bytes]) -> None:
        self._ids = frozenset(each for each in ids if each)
        self.found: set[bytes] = set()
        strings = Strings.of(sorted(self._ids))
        self._tags = np.empty(len(strings), np.uint64)
        _tag(as_writable(strings.data), strings.offsets, self._tags)
        self._tags.sort()
        slot_bits = max(8, (len(strings) * _SLOTS_PER_ID).bit_length())
        self._shift = np.uint64(64 - slot_bits)
        self._slots = np.zeros(1 << slot_bits, np.bool_)
        self._slots[self._tags >> self._shift] = True

    def __len__(self) -> int:
        return len(self._ids)

    def rows(self, strings: Strings, dead: DeadRows = NONE_DEAD) -> DeadRows:
        """Which of some strings are wanted, but for those in dead rows."""
        out = np.empty(len(strings), np.uint32)
        data, offsets = as_writable(np.asarray(strings.data)), as_writable(np.asarray(strings.offsets))
        suspects = out[: _select(data, offsets, self._tags, self._slots, self._shift, out)]
        suspects = suspects[~are_dead(dead, suspects)]
        texts = [strings[row] for row in suspects.tolist()]
        self.found.update(self._ids.intersection(texts))
        return suspects[np.array([text in self._ids for text in texts], np.bool_)]

    def rows_of(self, transaction: Any, segment: Segment, dead: DeadRows) -> DeadRows:
        """Which rows of a segment have wanted ids and are not dead yet; every id is looked at, O(rows)."""
        if "id_data" not in segment.columns or not self._ids:
            return NONE_DEAD
        offsets, data = (
            open_column(transaction, segment.number, name, segment.columns[name])
            for name in ("id_offsets", "id_data")
        )
        parts = []
        for start in range(0, segment.rows, _SLAB_ROWS):
            stop = min(start + _SLAB_ROWS, segment.rows)
            strings = read_strings(offsets, data, start, stop)
            first, last = np.searchsorted(dead, (start, stop))
            parts.append(self.rows(strings, dead[first:last] - np.uint32(start)) + np.uint32(start))
        return np.concatenate(parts)


def without_ids(runs: dict[Shape, list[Run]], wanted: WantedIds) -> dict[Shape, list[Run]]:
    """Runs without the rows that have some ids."""
    left: dict[Shape, list[Run]] = {}
    for shape, each in runs.items():
        for run in each:
            found = NONE_DEAD if run.batch.ids is None else wanted.rows(run.batch.ids)
            run.let_go()
            if len(found) == run.rows:
                continue
            if len(found):
                stay = np.ones(run.rows, np.bool_)
                stay[found] = False
                run = Run(run.batch.take(np.flatnonzero(stay).astype(np.uint32)))
            left.setdefault(shape, []).append(run)
    return left


def read_strings(offsets: Column, data: Column, start: int, stop: int) -> Strings:
    """Copy strings start..stop out of a column of offsets and a column of bytes."""
    ends = read_range(offsets, start, stop + 1).view(f"u{offsets.width}").ravel().astype(np.int64)
    return Strings(read_range(data, int(ends[0]), int(ends[-1])).ravel(), ends - ends[0])


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
    tags: NDArray[np.uint64],
    slots: NDArray[np.bool_],
    shift: np.uint64,
    out: NDArray[np.uint32],
) -> int:
    """List the strings whose XXH64 is among some.

    Args:
        data, offsets: n strings in Arrow layout (uint8[total], int64[n + 1]).
        tags: uint64[t], ascending, the hashes wanted.
        slots: bool[2**(64 - shift)], which leading bits the wanted hashes have.
        shift: bits that a hash is shifted by to find its slot.
        out: uint32[n], receives the indices in ascending order.

    Returns:
        How many there are. O(n), but for those found.
    """
    base = np.uint64(data.ctypes.data)
    found = 0
    for i in range(offsets.shape[0] - 1):
        length = np.uint64(offsets[i + 1] - offsets[i])
        if length == np.uint64(0):
            continue
        tag = xxh64(base + np.uint64(offsets[i]), length, np.uint64(0))
        if slots[tag >> shift]:
            at = np.searchsorted(tags, tag)
            if at < tags.shape[0] and tags[at] == tag:
                out[found] = np.uint32(i)
                found += 1
    return found
