"""Merging runs with the stored rows of a set into a new segment: the second half of the sort.

The work is done in slabs, which are ranges of the primary digest that hold a bounded number of
rows, so memory stays bounded however many rows there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import read_range, read_strings
from hashcore.arrays.ordering import MOST_ROWS, compare_digests, digest_prefixes, sort_rows
from hashcore.arrays.residency import let_go
from hashcore.changes.batches import Batch, LabelBook, Shape, concatenate, make_tags
from hashcore.changes.runs import GROUP_BITS, SAMPLE_EVERY, Run, prefixes_in, rank_range
from hashcore.changes.segments import SegmentWriter
from hashcore.disk.environment import Environment
from hashcore.disk.layout import Segment, open_column
from hashcore.disk.tombstones import NONE_DEAD, DeadRows
from hashcore.errors import StoreError
from hashcore.reading.wanted import Wanted
from hashcore.rows import Strings

_SLAB_ROWS = 1 << 16  # rows that can be sorted and gathered within a second-level cache
_MOST_SLABS = 1 << 10  # every slab costs a little time, to find the pieces of each stored column
_THREADS, _AHEAD = 2, 4
_LET_GO_ROWS = 1 << 20  # rows merged between two releases of the mapped pages they were read from


class RowSource(Protocol):
    """Rows of one shape, read by ranges of the primary digest's prefix."""

    @property
    def rows(self) -> int:
        """How many rows there are at most."""

    @property
    def id_bytes(self) -> int:
        """How many bytes their external ids have at most, all together."""

    def sample(self) -> NDArray[np.uint64]:
        """The prefixes of every `SAMPLE_EVERY`th row, uint64[...]."""

    def between(self, low: int, high: int | None) -> Batch:
        """The rows, in any order, whose prefix is at least `low` and, unless None, below `high`."""

    def let_go(self) -> None:
        """Release the memory of mapped rows; they are read again when needed."""


class StoredRows:
    """The rows of a published segment.

    Args:
        environment: the environment that holds the segment.
        segment: its header.
        book: numbers its labels for this load.
        dead: withdrawn rows, which are left out.
    """

    def __init__(
        self, environment: Environment, segment: Segment, book: LabelBook, dead: DeadRows = NONE_DEAD
    ) -> None:
        self._environment, self._segment, self._dead = environment, segment, dead
        # Labels without rows are dropped here; otherwise they would stay for ever.
        numbers = [
            book.number(label) if rows else -1
            for label, rows in zip(segment.labels, segment.label_rows, strict=True)
        ]
        self._labels = np.array(numbers, np.int32)
        self._book = book

    @property
    def rows(self) -> int:
        """How many rows the segment has, withdrawn ones included."""
        return self._segment.rows

    @property
    def id_bytes(self) -> int:
        """Bytes of all external ids, those of withdrawn rows included."""
        return self._segment.columns["id_data"].items if "id_data" in self._segment.columns else 0

    def sample(self) -> NDArray[np.uint64]:
        """The prefixes of every `SAMPLE_EVERY`th row, uint64[...]."""
        with self._environment.reading() as transaction:
            column = self._column(transaction, self._segment.types[0])
            digests = [read_range(column, rank, rank + 1)[0, :8] for rank in range(0, len(column), SAMPLE_EVERY)]
        self.let_go()
        return np.array(digests, np.uint8).view(">u8").ravel().astype(np.uint64)

    def let_go(self) -> None:
        """Release the memory of the segment's mapped pages; they are read again when needed."""
        with self._environment.reading() as transaction:
            for name in self._segment.columns:
                let_go(self._column(transaction, name))

    def between(self, low: int, high: int | None) -> Batch:
        """Copy the rows whose prefix is at least `low` and, unless None, below `high`; sorted."""
        with self._environment.reading() as transaction:
            start, stop = rank_range(self._column(transaction, self._segment.types[0]), low, high)
            digests = {
                name: read_range(self._column(transaction, name), start, stop) for name in self._segment.types
            }
            labels = np.zeros(stop - start, np.int64)
            if "label" in self._segment.columns:
                column = self._column(transaction, "label")
                labels = read_range(column, start, stop).view(f"u{column.width}").ravel().astype(np.int64)
            ids = self._read_ids(transaction, start, stop)
        numbers = self._labels[labels]
        batch = Batch(digests, numbers, make_tags(self._book.seeds(), numbers, digests, ids), ids)
        first, last = np.searchsorted(self._dead, [start, stop])
        if first == last:
            return batch
        alive = np.ones(len(batch), np.bool_)
        alive[self._dead[first:last] - start] = False
        return batch.take(np.flatnonzero(alive).astype(np.uint32))

    def holds(self, batch: Batch) -> NDArray[np.bool_]:
        """Which rows of a sorted batch the segment has too: digests, category and id; bool[n]."""
        held = np.zeros(len(batch), np.bool_)
        prefixes = np.empty(len(batch), np.uint64)
        digest_prefixes(np.require(batch.primary, requirements=["C", "W"]), prefixes)
        with self._environment.reading() as transaction:
            primary = self._column(transaction, self._segment.types[0])
            suspects = np.flatnonzero(prefixes_in(primary, prefixes))
        for row in suspects.tolist():
            prefix = int(prefixes[row])
            here = self.between(prefix, prefix + 1 if prefix + 1 < 1 << 64 else None)
            same = (here.tags == batch.tags[row]) & (here.primary == batch.primary[row]).all(axis=1)
            held[row] = same.any()
        return held

    def _column(self, transaction: object, name: str) -> Column:
        return open_column(transaction, self._segment.number, name, self._segment.columns[name])

    def _read_ids(self, transaction: object, start: int, stop: int) -> Strings | None:
        if "id_data" not in self._segment.columns:
            return None
        offsets, data = self._column(transaction, "id_offsets"), self._column(transaction, "id_data")
        return read_strings(offsets, data, start, stop)


@dataclass(slots=True)
class Tally:
    """What a change did, in entries.

    Args:
        added, unchanged, removed: entries that are new, stay, or are gone.
        duplicates: rows of the load that repeat another row of it.
        rejected: rows of the load that were not taken.
    """

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: int = 0
    rejected: int = 0

    @property
    def changes(self) -> int:
        """Entries added and removed; 0 if the set is the same as before."""
        return self.added + self.removed

    def add(self, other: Tally) -> None:
        """Add the counts of another part of the same change."""
        self.added += other.added
        self.unchanged += other.unchanged
        self.removed += other.removed
        self.duplicates += other.duplicates
        self.rejected += other.rejected


@nb.njit(cache=True, nogil=True)
def _reconcile(
    digests: NDArray[np.uint8],
    tags: NDArray[np.uint64],
    order: NDArray[np.uint32],
    old_rows: int,
    keep_old: bool,
    kept: NDArray[np.uint32],
    tally: NDArray[np.int64],
) -> int:
    """Decide which of some sorted rows stay.

    Args:
        digests: uint8[n, width] and tags: uint64[n], the stored rows first, then the new ones.
        order: uint32[n], sorts them by digest, tag and row.
        old_rows: how many of them are stored rows.
        keep_old: whether stored rows stay that are not among the new ones.
        kept: uint32[n], receives the rows that stay, in order.
        tally: int64[4]; added, unchanged, removed and duplicates are added to it.

    Returns:
        How many rows stay. O(n).
    """
    base, width = np.uint64(digests.ctypes.data), np.uint64(digests.shape[1])
    n = order.shape[0]
    stay = 0
    start = 0
    while start < n:
        first = order[start]
        address = base + np.uint64(first) * width
        stop = start + 1
        while (
            stop < n
            and tags[order[stop]] == tags[first]
            and compare_digests(base + np.uint64(order[stop]) * width, address, width) == 0
        ):
            stop += 1
        # Rows of a group come in row order: the one that was there, if any, is first.
        new = stop - start
        if first < old_rows:
            new -= 1
            if new > 0:
                tally[1] += 1
                tally[3] += new - 1
            elif not keep_old:
                tally[2] += 1
            if new > 0 or keep_old:
                kept[stay] = first
                stay += 1
        else:
            tally[0] += 1
            tally[3] += new - 1
            kept[stay] = first
            stay += 1
        start = stop
    return stay


def merge(
    writer: SegmentWriter,
    old: Sequence[RowSource],
    new: Sequence[Run],
    tally: Tally,
    *,
    keep_old: bool,
    beside: Sequence[StoredRows] = (),
    on_rows: Callable[[int], None],
    slab_rows: int = _SLAB_ROWS,
) -> None:
    """Merge stored rows and runs of the same shape, and write the result. O(rows).

    Args:
        writer: receives the rows that stay, sorted by digest.
        old: the stored rows, at most one for each entry.
        new: the runs of the load.
        tally: adds up what happened.
        keep_old: append to the stored rows rather than replace them.
        beside: segments that stay as they are; new rows that one of them has are left out.
        on_rows: called now and then with how many more rows have been merged.
        slab_rows: about how many rows to hold at a time.
    """
    sources: list[RowSource] = [*old, *new]
    slabs = _slabs(sources, slab_rows)

    def settle(bounds: tuple[int, int | None]) -> _Settled:
        return _settle(old, new, *bounds, keep_old, beside)

    # The kernels release the GIL, so one core settles a slab while another writes the previous one.
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="hashcore-merge") as pool:
        under_way = deque(pool.submit(settle, bounds) for bounds in slabs[:_AHEAD])
        looked_at = 0
        try:
            for bounds in [*slabs[_AHEAD:], *[None] * min(_AHEAD, len(slabs))]:
                settled = under_way.popleft().result()
                if bounds is not None:
                    under_way.append(pool.submit(settle, bounds))
                if len(settled.batch):
                    writer.append(settled.batch)
                tally.add(settled.tally)
                on_rows(settled.looked_at)
                looked_at += settled.looked_at
                if looked_at >= _LET_GO_ROWS:
                    looked_at = 0
                    for source in sources:
                        source.let_go()
        finally:
            for future in under_way:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Settled:
    """The rows of a slab that stay, sorted, and what became of all `looked_at` rows."""

    batch: Batch
    looked_at: int
    tally: Tally


def _settle(
    old: Sequence[RowSource],
    new: Sequence[Run],
    low: int,
    high: int | None,
    keep_old: bool,
    beside: Sequence[StoredRows],
) -> _Settled:
    old_batches = [source.between(low, high) for source in old]
    batch = concatenate([*old_batches, *(run.between(low, high) for run in new)])
    if not len(batch):
        return _Settled(batch, 0, Tally())
    if len(batch) > MOST_ROWS:
        raise StoreError(f"more than {MOST_ROWS:,} rows of the set have hashes that begin with the same bytes")
    primary = np.require(batch.primary, requirements=["C", "W"])
    order = sort_rows(primary, batch.tags)
    kept = np.empty(len(batch), np.uint32)
    changes = np.zeros(4, np.int64)
    old_rows = sum(map(len, old_batches))
    stay = _reconcile(primary, batch.tags, order, old_rows, keep_old, kept, changes)
    result = batch.take(kept[:stay])
    tally = Tally(*changes.tolist())
    held = np.zeros(stay, np.bool_)
    for segment in beside:
        held |= segment.holds(result)
    if held.any():
        tally.added -= int(held.sum())
        tally.unchanged += int(held.sum())
        result = result.take(np.flatnonzero(~held).astype(np.uint32))
    return _Settled(result, len(batch), tally)


def _slabs(sources: Sequence[RowSource], slab_rows: int) -> list[tuple[int, int | None]]:
    """Ranges of prefixes, each with about `slab_rows` rows of all sources together."""
    slab_rows = max(slab_rows, sum(source.rows for source in sources) // _MOST_SLABS)
    samples = np.sort(np.concatenate([source.sample() for source in sources]))
    step = max(1, slab_rows // SAMPLE_EVERY)
    cuts = np.unique(samples[step::step])
    # Runs return whole groups without looking at every row, so cut between groups if those are
    # small enough.
    whole = np.unique(cuts >> np.uint64(64 - GROUP_BITS) << np.uint64(64 - GROUP_BITS))
    cuts = whole if len(whole) == len(cuts) else cuts
    bounds: list[int | None] = [0, *(int(cut) for cut in cuts if cut > 0), None]
    return [(low or 0, high) for low, high in pairwise(bounds)]


def without_ids(runs: dict[Shape, list[Run]], wanted: Wanted) -> dict[Shape, list[Run]]:
    """The runs without the rows that have a wanted id."""
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
