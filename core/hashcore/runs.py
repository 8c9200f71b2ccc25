"""From blocks of rows to sorted runs, in bounded memory: the first half of an external merge sort.

Rows are kept apart by shape: which hash types they have. All rows of a run have the same types, so its
columns are dense; the first type is the primary one, and the run is sorted by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.columns import Column, item_address
from hashcore.errors import StoreError
from hashcore.gather import gather, gather_strings
from hashcore.hashtypes import HASH_TYPES
from hashcore.layout import Label
from hashcore.ordering import MOST_ROWS, digest_prefix, sort_rows
from hashcore.rows import Digests, Reject, Rows, Strings
from hashcore.xxh64 import mix_items, mix_strings

MOST_LABELS = 1 << 16
_RUN_BYTES = 512 << 20
_RUN_ROWS = 1 << 20  # a run's keys and digests together about fill a last-level cache
SAMPLE_EVERY = 4096  # every how many rows a run is sampled to choose where to cut

Shape = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """n rows of one shape.

    Args:
        digests: uint8[n, width] by type, primary type first.
        labels: int32[n], numbers in the load's `LabelBook`.
        tags: uint64[n]; rows with equal primary digest and equal tag are the same entry. XXH64 over
            category, other digests and external id.
        ids: external ids, empty where a row has none; None where no row has any.
    """

    digests: dict[str, Digests]
    labels: NDArray[np.int32]
    tags: NDArray[np.uint64]
    ids: Strings | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def primary(self) -> Digests:
        """The digests by which the rows are sorted."""
        return next(iter(self.digests.values()))

    def take(self, rows: NDArray[np.uint32]) -> Batch:
        """Copy some rows, in the order given."""
        return Batch(
            {name: gather(Column.of(column), rows) for name, column in self.digests.items()},
            gather(Column.of(self.labels), rows).view(np.int32).ravel(),
            gather(Column.of(self.tags), rows).view(np.uint64).ravel(),
            None if self.ids is None else gather_strings(self.ids, rows),
        )

    def slice(self, start: int, stop: int) -> Batch:
        """View some consecutive rows."""
        digests = {name: column[start:stop] for name, column in self.digests.items()}
        ids = None
        if self.ids is not None:
            offsets = self.ids.offsets[start : stop + 1]
            ids = Strings(self.ids.data[offsets[0] : offsets[-1]], offsets - offsets[0])
        return Batch(digests, self.labels[start:stop], self.tags[start:stop], ids)


def _join_ids(batches: list[Batch]) -> Strings | None:
    if all(batch.ids is None for batch in batches):
        return None
    each = [batch.ids or Strings.of([b""] * len(batch)) for batch in batches]
    totals = np.cumsum([0] + [len(ids.data) for ids in each])
    offsets = [ids.offsets[:-1] + start for ids, start in zip(each, totals[:-1], strict=True)]
    return Strings(np.concatenate([ids.data for ids in each]), np.concatenate([*offsets, totals[-1:]]))


def concatenate(batches: list[Batch]) -> Batch:
    """Put batches of one shape behind one another."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        {name: np.concatenate([batch.digests[name] for batch in batches]) for name in batches[0].digests},
        np.concatenate([batch.labels for batch in batches]),
        np.concatenate([batch.tags for batch in batches]),
        _join_ids(batches),
    )


class LabelBook:
    """Numbers for the labels of a load: those of the rows that were there, and those of the new ones."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self._numbers: dict[Label, int] = {}

    def number(self, label: Label) -> int:
        """The number of a label, a new one if it has none.

        Raises:
            StoreError: there are more distinct labels than a set may have.
        """
        if label not in self._numbers:
            if len(self.labels) >= MOST_LABELS:
                raise StoreError(
                    f"more than {MOST_LABELS:,} distinct categories; is the category column really the id?"
                )
            self._numbers[label] = len(self.labels)
            self.labels.append(label)
        return self._numbers[label]

    def seeds(self) -> NDArray[np.uint64]:
        """uint64[labels], what each label's category contributes to the tag of a row."""
        return np.array([_category_seed(label.category) for label in self.labels], np.uint64)


def _category_seed(category: str | None) -> int:
    if category is None:
        return 0
    return int.from_bytes(hashlib.blake2b(category.encode(), digest_size=8).digest(), "little") | 1


def make_tags(
    seeds: NDArray[np.uint64], labels: NDArray[np.int32], digests: dict[str, Digests], ids: Strings | None
) -> NDArray[np.uint64]:
    """The tags of some rows; see `Batch`."""
    tags = seeds[labels]
    for column in list(digests.values())[1:]:
        mix_items(tags, np.ascontiguousarray(column))
    if ids is not None:
        mix_strings(tags, ids.data, ids.offsets)
    return tags


class Run:
    """Sorted rows of one shape, in memory or spilled to a folder."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @property
    def rows(self) -> int:
        return len(self.batch)

    @property
    def id_bytes(self) -> int:
        """Bytes of all external ids."""
        return 0 if self.batch.ids is None else len(self.batch.ids.data)

    def spill(self, folder: Path) -> None:
        """Move the rows to files in a new folder; they are mapped from there."""
        folder.mkdir(mode=0o700)
        batch = self.batch
        self.batch = Batch(
            {name: _spill(folder / f"{name}.npy", column) for name, column in batch.digests.items()},
            _spill(folder / "labels.npy", batch.labels),
            _spill(folder / "tags.npy", batch.tags),
            None
            if batch.ids is None
            else Strings(
                _spill(folder / "id_data.npy", batch.ids.data),
                _spill(folder / "id_offsets.npy", batch.ids.offsets),
            ),
        )

    def sample(self) -> NDArray[np.uint64]:
        """Prefixes of evenly spaced rows, ascending."""
        return np.ascontiguousarray(self.batch.primary[::SAMPLE_EVERY, :8]).view(">u8").ravel().astype(np.uint64)

    def between(self, low: int, high: int | None) -> Batch:
        """The rows whose primary digest's prefix is in low..high (None: to the end)."""
        column = Column.of(self.batch.primary)
        return self.batch.slice(*rank_range(column, low, high))


def _spill(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    np.save(path, array)
    if array.size == 0:
        return array
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped


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
    """Ranks of the digests of a sorted column whose prefix is in low..high (None: to the end)."""
    arguments = (column.bases, np.uint64(column.shift), np.uint64(column.width), len(column))
    start = _lower_bound(*arguments, np.uint64(low))
    stop = len(column) if high is None else _lower_bound(*arguments, np.uint64(high))
    return int(start), int(stop)


class RunBuilder:
    """Takes blocks of rows and makes sorted runs of them.

    Args:
        scratch: an existing folder for runs that do not fit into memory.
        book: numbers the labels.
        category: of rows that name none.
        added: Unix seconds, of all rows.
        on_reject: told of rows that are not taken: benign hashes, unless `keep_benign`.
        run_bytes: memory for sorted runs before they are spilled to the scratch folder.
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
    ) -> None:
        self._scratch, self._book = scratch, book
        self._category, self._added = category, added
        self._on_reject, self._keep_benign = on_reject, keep_benign
        self._run_bytes = run_bytes
        self._waiting: dict[Shape, list[Batch]] = {}
        self._waiting_rows: dict[Shape, int] = {}
        self._runs: dict[Shape, list[Run]] = {}
        self._in_memory: list[Run] = []
        self._spilled = 0
        self.rejected = 0

    def add(self, rows: Rows) -> None:
        """Take a block of rows."""
        keep = None if self._keep_benign else self._without_benign(rows)
        labels = self._number_labels(rows)
        for shape, chosen in _by_shape(rows, keep):
            digests = {name: rows.hashes[name].digests for name in shape}
            # The tags are made when the run is: an empty array stands for them until then.
            batch = Batch(digests, labels, _NO_TAGS, rows.ids)
            self._wait(shape, batch if chosen is None else _choose(batch, chosen))

    def finish(self) -> dict[Shape, list[Run]]:
        """Sort what is left, and return all runs by shape."""
        for shape in list(self._waiting):
            self._make_run(shape)
        return self._runs

    def _without_benign(self, rows: Rows) -> NDArray[np.bool_] | None:
        """Which rows to take; None: all."""
        keep = None
        for name, column in rows.hashes.items():
            for benign in HASH_TYPES[name].benign:
                first = np.frombuffer(benign, np.uint32)[0]
                suspects = np.flatnonzero(column.digests.view(np.uint32)[:, 0] == first)
                equal = (column.digests[suspects] == np.frombuffer(benign, np.uint8)).all(axis=1)
                for row in suspects[equal].tolist():
                    keep = np.ones(len(rows), np.bool_) if keep is None else keep
                    if keep[row]:
                        keep[row] = False
                        self.rejected += 1
                        reason = f"the {name} of the empty file: it is everywhere and harmless"
                        self._on_reject(Reject(int(rows.lines[row]), reason, benign.hex().encode()))
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
        if sum(_bytes_of(run.batch) for run in self._in_memory) > self._run_bytes:
            for run in self._in_memory:
                self._spilled += 1
                run.spill(self._scratch / f"run-{self._spilled}")
            self._in_memory = []

    def _make_run(self, shape: Shape) -> None:
        del self._waiting_rows[shape]
        waiting = self._waiting.pop(shape)
        joined = concatenate(waiting)
        for start in range(0, len(joined), MOST_ROWS):
            part = joined.slice(start, min(start + MOST_ROWS, len(joined)))
            digests = {name: np.ascontiguousarray(column) for name, column in part.digests.items()}
            tags = make_tags(self._book.seeds(), part.labels, digests, part.ids)
            batch = Batch(digests, part.labels, tags, part.ids)
            run = Run(batch.take(sort_rows(batch.primary, tags)))
            self._runs.setdefault(shape, []).append(run)
            self._in_memory.append(run)


_NO_TAGS = np.empty(0, np.uint64)


def _choose(batch: Batch, rows: NDArray[np.uint32]) -> Batch:
    """Copy some rows of a batch that has no tags yet."""
    digests = {name: gather(Column.of(column), rows) for name, column in batch.digests.items()}
    ids = None if batch.ids is None else gather_strings(batch.ids, rows)
    return Batch(digests, batch.labels[rows], _NO_TAGS, ids)


def _bytes_of(batch: Batch) -> int:
    ids = 0 if batch.ids is None else batch.ids.data.nbytes + batch.ids.offsets.nbytes
    return sum(column.nbytes for column in batch.digests.values()) + 12 * len(batch) + ids


def _by_shape(rows: Rows, keep: NDArray[np.bool_] | None) -> list[tuple[Shape, NDArray[np.uint32] | None]]:
    """Rows by which hashes they have, leaving out those not kept; None stands for all rows."""
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
