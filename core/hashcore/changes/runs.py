"""From blocks of rows to runs, in bounded memory: the first half of an external sort.

Rows are separated by shape, which is the hash types that they have. All rows of a run have the same
types, so its columns are dense; the first type is the primary one, by which a set is sorted. A run
itself is only grouped by the leading bits of the primary digest: the merge takes a range of digests
from every run and sorts it once, within the caches, which takes a third of the time of sorting
every run and then merging.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.gather import gather, gather_strings
from hashcore.arrays.ordering import digest_prefix, digest_prefixes
from hashcore.arrays.residency import let_go_of_map
from hashcore.changes.batches import Batch, LabelBook, Shape, concatenate, make_tags
from hashcore.disk.layout import Label
from hashcore.hashtypes import HASH_TYPES, HashType
from hashcore.pictures.blank import are_blank
from hashcore.rows import HashColumn, Reject, Rows, Strings

_RUN_BYTES = 512 << 20
_RUN_ROWS = 1 << 20
SAMPLE_EVERY = 4096  # rows between two samples, by which the merge chooses its slabs
GROUP_BITS = 10  # leading bits by which a run is grouped: as many streams as a core can write at once
_GROUP_SHIFT = 64 - GROUP_BITS


class Run:
    """Rows of one shape, grouped by the leading bits of their primary digests.

    They are held in memory until they are spilled to files.

    Args:
        batch: the rows, in any order.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch, self._starts = _grouped(batch)

    @property
    def rows(self) -> int:
        """How many rows the run has."""
        return len(self.batch)

    @property
    def id_bytes(self) -> int:
        """Bytes of all external ids."""
        return 0 if self.batch.ids is None else len(self.batch.ids.data)

    def spill(self, folder: Path) -> None:
        """Move the rows to files in a new folder, and map them from there."""
        folder.mkdir(mode=0o700)
        batch = self.batch
        self.batch = Batch(
            {name: _spill(folder / f"{name}.bin", column) for name, column in batch.digests.items()},
            _spill(folder / "labels.bin", batch.labels),
            _spill(folder / "tags.bin", batch.tags),
            None
            if batch.ids is None
            else Strings(
                _spill(folder / "id_data.bin", batch.ids.data),
                _spill(folder / "id_offsets.bin", batch.ids.offsets),
            ),
        )

    def sample(self) -> NDArray[np.uint64]:
        """The prefixes of every `SAMPLE_EVERY`th row, uint64[...]."""
        digests = np.ascontiguousarray(self.batch.primary[::SAMPLE_EVERY, :8])
        let_go_of_map(self.batch.primary)
        return digests.view(">u8").ravel().astype(np.uint64)

    def let_go(self) -> None:
        """Release the memory of rows mapped from files; they are read again when needed."""
        ids = () if self.batch.ids is None else (self.batch.ids.data, self.batch.ids.offsets)
        for array in (*self.batch.digests.values(), self.batch.labels, self.batch.tags, *ids):
            let_go_of_map(array)

    def between(self, low: int, high: int | None) -> Batch:
        """The rows, in any order, whose prefix is at least `low` and, unless None, below `high`."""
        end = 1 << 64 if high is None else high
        first, last = low >> _GROUP_SHIFT, -(-end >> _GROUP_SHIFT)
        part = self.batch.slice(int(self._starts[first]), int(self._starts[last]))
        if low == first << _GROUP_SHIFT and end == last << _GROUP_SHIFT:
            return part
        prefixes = np.empty(len(part), np.uint64)
        digest_prefixes(np.require(part.primary, requirements=["C", "W"]), prefixes)
        inside = (prefixes >= np.uint64(low)) & (prefixes <= np.uint64(end - 1))
        return part if inside.all() else part.take(np.flatnonzero(inside).astype(np.uint32))


def _grouped(batch: Batch) -> tuple[Batch, NDArray[np.int64]]:
    """A batch in the order of its groups, and where each group starts, int64[2**GROUP_BITS + 1]."""
    n = len(batch)
    places = np.empty(n, np.uint32)
    starts = np.empty((1 << GROUP_BITS) + 1, np.int64)
    _place_groups(batch.primary, places, starts)
    digests = {name: np.empty_like(column) for name, column in batch.digests.items()}
    labels, tags = np.empty_like(batch.labels), np.empty_like(batch.tags)
    sources: list[NDArray[Any]] = [*batch.digests.values(), batch.labels, batch.tags]
    targets: list[NDArray[Any]] = [*digests.values(), labels, tags]
    for source, target in zip(sources, targets, strict=True):
        _scatter_words(source.view(np.uint32).reshape(n, -1), places, target.view(np.uint32).reshape(n, -1))
    ids = None
    if batch.ids is not None:
        order = np.empty(n, np.uint32)
        order[places] = np.arange(n, dtype=np.uint32)
        ids = gather_strings(batch.ids, order)
    return Batch(digests, labels, tags, ids), starts


@nb.njit(cache=True, nogil=True)
def _place_groups(digests: NDArray[np.uint8], places: NDArray[np.uint32], starts: NDArray[np.int64]) -> None:
    base, width = np.uint64(digests.ctypes.data), np.uint64(digests.shape[1])
    shift = np.uint64(_GROUP_SHIFT)
    groups = np.uint64(starts.shape[0] - 1)
    n = np.uint64(digests.shape[0])
    counts = np.zeros(groups, np.int64)
    for i in range(n):
        counts[digest_prefix(base + np.uint64(i) * width, width) >> shift] += 1
    starts[0] = 0
    for group in range(groups):
        starts[group + np.uint64(1)] = starts[group] + counts[group]
        counts[group] = starts[group]
    for i in range(n):
        its_group = digest_prefix(base + np.uint64(i) * width, width) >> shift
        places[i] = np.uint32(counts[its_group])
        counts[its_group] += 1


@nb.njit(cache=True, nogil=True)
def _scatter_words(source: NDArray[np.uint32], places: NDArray[np.uint32], target: NDArray[np.uint32]) -> None:
    for i in range(source.shape[0]):
        place = np.uint64(places[i])
        for w in range(source.shape[1]):
            target[place, w] = source[i, w]


def _spill(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.size == 0:
        return array
    with path.open("wb") as file:
        file.write(np.ascontiguousarray(array).data)
    return np.memmap(path, array.dtype, "r", shape=array.shape)


@nb.njit(cache=True, nogil=True)
def _lower_bound(bases: NDArray[np.uint64], shift: np.uint64, width: np.uint64, n: int, prefix: np.uint64) -> int:
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if digest_prefix(item_address(bases, shift, width, np.uint64(middle)), width) < prefix:
            low = middle + 1
        else:
            high = middle
    return low


def rank_range(column: Column, low: int, high: int | None) -> tuple[int, int]:
    """The range of ranks whose digests, in a sorted column, have a prefix in low..high.

    `high` is not included; None stands for the end. O(log n).
    """
    arguments = (column.bases, np.uint64(column.shift), np.uint64(column.width), len(column))
    start = _lower_bound(*arguments, np.uint64(low))
    stop = len(column) if high is None else _lower_bound(*arguments, np.uint64(high))
    return int(start), int(stop)


@nb.njit(cache=True, nogil=True)
def _find_prefixes(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    prefixes: NDArray[np.uint64],
    found: NDArray[np.bool_],
) -> None:
    for i in range(prefixes.shape[0]):
        rank = _lower_bound(bases, shift, width, n, prefixes[i])
        if rank < n:
            found[i] = digest_prefix(item_address(bases, shift, width, np.uint64(rank)), width) == prefixes[i]


def prefixes_in(column: Column, prefixes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which prefixes are those of digests in a sorted column, bool[m]. O(m log n)."""
    found = np.zeros(len(prefixes), np.bool_)
    arguments = (column.bases, np.uint64(column.shift), np.uint64(column.width), len(column))
    _find_prefixes(*arguments, prefixes, found)
    return found


class RunBuilder:
    """Makes runs of blocks of rows.

    Args:
        scratch: an existing folder for runs that do not fit into memory.
        book: numbers the labels.
        category: the category of rows that have none of their own.
        added: when the rows count as added, in Unix seconds.
        on_reject: called with each row that is not taken because it has a benign hash.
        keep_benign: take rows with benign hashes like any others.
        run_bytes: bytes of runs to hold in memory; more are spilled to the scratch folder.
        before_spill: called with the bytes that are about to be spilled.
    """

    def __init__(
        self,
        scratch: Path,
        book: LabelBook,
        *,
        category: str | None,
        added: float,
        on_reject: Callable[[Reject], None],
        keep_benign: bool,
        run_bytes: int = _RUN_BYTES,
        before_spill: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._scratch, self._book = scratch, book
        self._category, self._added = category, added
        self._on_reject, self._keep_benign = on_reject, keep_benign
        self._run_bytes, self._before_spill = run_bytes, before_spill
        self._waiting: dict[Shape, list[Batch]] = {}
        self._waiting_rows: dict[Shape, int] = {}
        self._runs: dict[Shape, list[Run]] = {}
        self._in_memory: list[Run] = []
        self._spilled = 0
        self.rejected = 0

    def add(self, rows: Rows) -> None:
        """Take a block of rows; their arrays must not change until `finish`."""
        if not len(rows):
            return
        keep = None if self._keep_benign else self._without_benign(rows)
        labels = self._number_labels(rows)
        for shape, chosen in _by_shape(rows, keep):
            digests = {name: rows.hashes[name].digests for name in shape}
            # Tags are computed when the run is made; until then an empty array takes their place.
            batch = Batch(digests, labels, _NO_TAGS, rows.ids)
            self._wait(shape, batch if chosen is None else _choose(batch, chosen))

    def finish(self) -> dict[Shape, list[Run]]:
        """Make runs of the rows that are left, and return all runs by shape."""
        for shape in list(self._waiting):
            self._make_run(shape)
        return self._runs

    def _without_benign(self, rows: Rows) -> NDArray[np.bool_] | None:
        """Reject rows with benign hashes. Which rows to take, bool[n]; None for all."""
        reasons: dict[int, tuple[str, bytes]] = {}
        for name, column in rows.hashes.items():
            for row, what in _benign_rows(HASH_TYPES[name], column):
                reason = f"the {name} of {what}: it is everywhere and harmless"
                reasons.setdefault(row, (reason, column.digests[row].tobytes()))
        if not reasons:
            return None
        for row in sorted(reasons):
            reason, digest = reasons[row]
            self._on_reject(Reject(int(rows.lines[row]), reason, digest.hex().encode()))
        self.rejected += len(reasons)
        keep = np.ones(len(rows), np.bool_)
        keep[list(reasons)] = False
        return keep

    def _number_labels(self, rows: Rows) -> NDArray[np.int32]:
        default = Label(self._category, self._added)
        if rows.categories is None:
            return np.full(len(rows), self._book.number(default), np.int32)
        codes = rows.categories.codes
        numbers = [self._book.number(Label(name, self._added)) for name in rows.categories.names]
        numbers.append(self._book.number(default) if (codes < 0).any() else -1)
        return np.array(numbers, np.int32)[codes]

    def _wait(self, shape: Shape, batch: Batch) -> None:
        self._waiting.setdefault(shape, []).append(batch)
        self._waiting_rows[shape] = self._waiting_rows.get(shape, 0) + len(batch)
        if self._waiting_rows[shape] >= _RUN_ROWS:
            self._make_run(shape)
        elif sum(self._waiting_rows.values()) >= 2 * _RUN_ROWS:
            self._make_run(max(self._waiting_rows, key=self._waiting_rows.__getitem__))
        held = sum(_bytes_of(run.batch) for run in self._in_memory)
        if held > self._run_bytes:
            self._before_spill(held)
            for run in self._in_memory:
                self._spilled += 1
                run.spill(self._scratch / f"run-{self._spilled}")
            self._in_memory = []

    def _make_run(self, shape: Shape) -> None:
        del self._waiting_rows[shape]
        waiting = self._waiting.pop(shape)
        joined = concatenate(waiting)
        digests = {name: np.require(column, requirements=["C", "W"]) for name, column in joined.digests.items()}
        tags = make_tags(self._book.seeds(), joined.labels, digests, joined.ids)
        run = Run(Batch(digests, joined.labels, tags, joined.ids))
        self._runs.setdefault(shape, []).append(run)
        self._in_memory.append(run)


_NO_TAGS = np.empty(0, np.uint64)


def _benign_rows(hash_type: HashType, column: HashColumn) -> list[tuple[int, str]]:
    """The rows of a column that have a benign hash, and what it is the hash of."""
    found: list[tuple[int, str]] = []
    if hash_type.is_near:
        blank = are_blank(hash_type, column.digests)
        if column.present is not None:  # rows without the hash hold zeros, which is blank
            blank &= column.present
        return [(row, "a blank picture") for row in np.flatnonzero(blank).tolist()]
    for benign, what in hash_type.benign.items():
        first = np.frombuffer(benign, np.uint32)[0]
        suspects = np.flatnonzero(column.digests.view(np.uint32)[:, 0] == first)
        if column.present is not None:
            suspects = suspects[column.present[suspects]]
        equal = (column.digests[suspects] == np.frombuffer(benign, np.uint8)).all(axis=1)
        found.extend((row, what) for row in suspects[equal].tolist())
    return found


def _choose(batch: Batch, rows: NDArray[np.uint32]) -> Batch:
    """Copy some rows of a batch that has no tags yet."""
    digests = {name: gather(Column.of(column), rows) for name, column in batch.digests.items()}
    ids = None if batch.ids is None else gather_strings(batch.ids, rows)
    return Batch(digests, batch.labels[rows], _NO_TAGS, ids)


def _bytes_of(batch: Batch) -> int:
    ids = 0 if batch.ids is None else batch.ids.data.nbytes + batch.ids.offsets.nbytes
    return sum(column.nbytes for column in batch.digests.values()) + 12 * len(batch) + ids


def _by_shape(rows: Rows, keep: NDArray[np.bool_] | None) -> list[tuple[Shape, NDArray[np.uint32] | None]]:
    """Rows by shape, without those that are not kept; None stands for all rows."""
    types = [name for name in HASH_TYPES if name in rows.hashes]
    if keep is None and all(rows.hashes[name].present is None for name in types):
        return [(tuple(types), None)]
    present = np.zeros(len(rows), np.uint16)
    for bit, name in enumerate(types):
        mask = rows.hashes[name].present
        present |= np.uint16(1 << bit) if mask is None else mask.astype(np.uint16) << np.uint16(bit)
    if keep is not None:
        present[~keep] = 0
    shapes: list[tuple[Shape, NDArray[np.uint32] | None]] = []
    for code in np.flatnonzero(np.bincount(present, minlength=1)):
        if code:
            shape = tuple(name for bit, name in enumerate(types) if int(code) >> bit & 1)
            shapes.append((shape, np.flatnonzero(present == code).astype(np.uint32)))
    return shapes
