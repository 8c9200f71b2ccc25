"""Tombstones: rows of a segment that have been withdrawn.

A segment never changes, so its withdrawn rows are kept apart: their sorted numbers are an object of
their own, which the manifest names. It is dropped when the segment is merged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.gather import read_range
from hashcore.disk.layout import HashSet, Tombstones, open_column
from hashcore.disk.staging import ColumnWriter, Stage

DeadRows = NDArray[np.uint32]
"""Numbers of the withdrawn rows of a segment, uint32[dead], ascending."""

NONE_DEAD: DeadRows = np.empty(0, np.uint32)


def read_tombstones(transaction: Any, entry: HashSet) -> dict[int, DeadRows]:
    """Copy the dead rows of a set, by object number of the segment."""
    dead = {}
    for each in entry.tombstones:
        column = open_column(transaction, each.number, "dead", each.rows)
        dead[each.segment] = read_range(column, 0, len(column)).reshape(-1).view(np.uint32)
    return dead


def write_tombstones(stage: Stage, segment: int, dead: DeadRows) -> Tombstones:
    """Stage the dead rows of the segment with this object number, as a new object."""
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
