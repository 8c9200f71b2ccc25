"""Writing segments: sorted rows of one shape become columns with directories and indexes."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column, item_address
from hashcore.arrays.gather import gather
from hashcore.arrays.ordering import MOST_ROWS, digest_prefix, digest_prefixes, sort_rows
from hashcore.arrays.residency import let_go, passing
from hashcore.changes.batches import Batch, Shape
from hashcore.disk.layout import ColumnSpec, Label, Segment, open_column
from hashcore.disk.staging import ColumnWriter, Stage
from hashcore.exact.tables import count_slots, directory_bits
from hashcore.hashtypes import HASH_TYPES, Rule
from hashcore.near.multiindex import build_chunk
from hashcore.near.nearest import choose_geometry
from hashcore.rows import Digests

_SLAB_BITS = 16


@dataclass(slots=True)
class _Directory:
    """A directory under construction; see `hashcore.exact.tables.Table`."""

    bits: int
    counts: NDArray[np.uint32]

    @classmethod
    def over(cls, rows: int) -> _Directory:
        bits = directory_bits(rows)
        return cls(bits, np.zeros((1 << bits) + 1, np.uint32))

    def add(self, digests: Digests) -> None:
        prefixes = np.empty(len(digests), np.uint64)
        digest_prefixes(digests, prefixes)
        count_slots(prefixes, self.bits, self.counts)

    def write(self, stage: Stage, number: int, name: str) -> ColumnSpec:
        writer = ColumnWriter(stage, number, f"directory.{name}", 4)
        writer.append(np.cumsum(self.counts, dtype=np.uint32))
        return writer.finish()


class SegmentWriter:
    """Writes one segment from batches that arrive sorted by primary digest.

    Args:
        stage: receives the columns.
        shape: hash types of every row, the primary one first.
        labels: the labels that the rows' label numbers stand for.
        most_rows: an upper bound on the rows to come.
        most_id_bytes: an upper bound on the bytes of all their external ids.
    """

    def __init__(
        self, stage: Stage, shape: Shape, labels: list[Label], *, most_rows: int, most_id_bytes: int
    ) -> None:
        # A copy, because the load numbers more labels while it writes the rows of other shapes.
        self._stage, self._shape, self._labels = stage, shape, list(labels)
        self.number = stage.new_object()
        self._digests = {name: self._writer(name, HASH_TYPES[name].width) for name in shape}
        self._directory = _Directory.over(most_rows) if _is_exact(shape[0]) else None
        self._label_rows = np.zeros(len(labels), np.int64)
        self._label_type = np.dtype(np.min_scalar_type(max(1, len(labels) - 1)))
        self._label = self._writer("label", self._label_type.itemsize) if len(labels) > 1 else None
        self._offset_type = np.dtype(np.uint32 if most_id_bytes < 1 << 32 else np.uint64)
        self._id_offsets = self._writer("id_offsets", self._offset_type.itemsize) if most_id_bytes else None
        self._id_data = self._writer("id_data", 1) if most_id_bytes else None
        self._id_bytes = 0
        self._rows = 0

    def append(self, batch: Batch) -> None:
        """Append the rows of a batch, none of which may sort before the last one appended."""
        for name, column in batch.digests.items():
            self._digests[name].append(column)
        if self._directory is not None:
            self._directory.add(batch.primary)
        self._label_rows += np.bincount(batch.labels, minlength=len(self._labels))
        if self._label is not None:
            self._label.append(batch.labels.astype(self._label_type))
        if self._id_offsets is not None and self._id_data is not None and batch.ids is not None:
            self._id_offsets.append((batch.ids.offsets[:-1] + self._id_bytes).astype(self._offset_type))
            self._id_data.append(batch.ids.data)
            self._id_bytes += len(batch.ids.data)
        self._rows += len(batch)

    def finish(self) -> Segment | None:
        """Write directories, orders and indexes; return the header, or None without any rows."""
        if not self._rows:
            return None
        columns = {name: writer.finish() for name, writer in self._digests.items()}
        bits = {}
        if self._directory is not None:
            primary = self._shape[0]
            columns[f"directory.{primary}"] = self._directory.write(self._stage, self.number, primary)
            bits[primary] = self._directory.bits
        if self._label is not None:
            columns["label"] = self._label.finish()
        if self._id_offsets is not None and self._id_data is not None:
            self._id_offsets.append(np.array([self._id_bytes], self._offset_type))
            columns["id_offsets"], columns["id_data"] = self._id_offsets.finish(), self._id_data.finish()
        self._stage.flush()
        for name in filter(_is_exact, self._shape[1:]):
            bits[name] = self._write_order(name, columns)
        chunks = {}
        for name in self._shape:
            if HASH_TYPES[name].rule is Rule.HAMMING and (count := self._write_index(name, columns)):
                chunks[name] = count
        label_rows = self._label_rows.tolist()
        return Segment(self.number, list(self._shape), self._rows, self._labels, label_rows, bits, columns, chunks)

    def _writer(self, name: str, width: int) -> ColumnWriter:
        return ColumnWriter(self._stage, self.number, name, width)

    def _write_order(self, name: str, columns: dict[str, ColumnSpec]) -> int:
        """Write the order and directory of a non-primary type, and return the directory's bits."""
        spec = columns[name]
        with self._stage.environment.reading() as transaction:
            slabs = _slabs(open_column(transaction, self.number, name, spec))
        order = self._writer(f"order.{name}", 4)
        directory = _Directory.over(self._rows)
        for slab in slabs:
            with self._stage.environment.reading() as transaction:
                rows, digests = _read_slab(open_column(transaction, self.number, name, spec), slab)
            directory.add(digests)
            order.append(rows[sort_rows(digests, np.zeros(len(rows), np.uint64))])
        columns[f"order.{name}"] = order.finish()
        columns[f"directory.{name}"] = directory.write(self._stage, self.number, name)
        return directory.bits

    def _write_index(self, name: str, columns: dict[str, ColumnSpec]) -> int:
        """Write the index of a Hamming type; return its chunks, or 0 for too few rows."""
        spec = columns[name]
        geometry = choose_geometry(spec.width, self._rows, HASH_TYPES[name].default_distance)
        if geometry is None:
            return 0
        for chunk in range(geometry.chunks):
            # Pieces are staged outside the transaction, because staging may have to move the map.
            with self._stage.environment.reading() as transaction:
                column = open_column(transaction, self.number, name, spec)
                directory, postings = build_chunk(column, geometry, chunk)
                let_go(column)
            for part, items in ((f"index.{name}.{chunk}", directory), (f"postings.{name}.{chunk}", postings)):
                writer = self._writer(part, 4)
                writer.append(items)
                columns[part] = writer.finish()
        return geometry.chunks


def _is_exact(name: str) -> bool:
    return HASH_TYPES[name].rule is Rule.EXACT


def _arguments(column: Column) -> tuple[NDArray[np.uint64], np.uint64, np.uint64, int]:
    return column.bases, np.uint64(column.shift), np.uint64(column.width), len(column)


@dataclass(frozen=True, slots=True)
class _Slab:
    """The digests of a column whose prefixes are in low..high, both included."""

    low: int
    high: int
    rows: int


def _slabs(column: Column) -> list[_Slab]:
    """Cut a column's digests into slabs that `sort_rows` can take. O(n)."""
    if len(column) <= MOST_ROWS // 2:
        return [_Slab(0, (1 << 64) - 1, len(column))]
    counts = np.zeros(1 << _SLAB_BITS, np.int64)
    for _, part in passing(column):
        _histogram(*_arguments(part), counts)
    slabs, low, filled = [], 0, 0
    for slot, count in enumerate(counts.tolist()):
        start = slot << (64 - _SLAB_BITS)
        if filled and filled + count > MOST_ROWS // 2:
            slabs.append(_Slab(low, start - 1, filled))
            low, filled = start, 0
        filled += count
    return [*slabs, _Slab(low, (1 << 64) - 1, filled)]


def _read_slab(column: Column, slab: _Slab) -> tuple[NDArray[np.uint32], Digests]:
    """The rows of a slab, uint32[n] ascending, and their digests, uint8[n, width]."""
    rows, digests = np.empty(slab.rows, np.uint32), np.empty((slab.rows, column.width), np.uint8)
    filled = 0
    for start, part in passing(column):
        room = rows[filled:]
        found = _collect(*_arguments(part), np.uint64(slab.low), np.uint64(slab.high), room)
        digests[filled : filled + found] = gather(part, room[:found])
        room[:found] += np.uint32(start)
        filled += found
    assert filled == slab.rows, "a published column has changed"
    return rows, digests


@nb.njit(cache=True, nogil=True)
def _histogram(
    bases: NDArray[np.uint64], shift: np.uint64, width: np.uint64, n: int, counts: NDArray[np.int64]
) -> None:
    for i in range(n):
        counts[digest_prefix(item_address(bases, shift, width, np.uint64(i)), width) >> np.uint64(48)] += 1


@nb.njit(cache=True, nogil=True)
def _collect(
    bases: NDArray[np.uint64],
    shift: np.uint64,
    width: np.uint64,
    n: int,
    low: np.uint64,
    high: np.uint64,
    out: NDArray[np.uint32],
) -> int:
    """List the rows whose prefix is in low..high, both included; return how many. O(n)."""
    found = 0
    for i in range(n):
        prefix = digest_prefix(item_address(bases, shift, width, np.uint64(i)), width)
        if low <= prefix <= high:
            out[found] = np.uint32(i)
            found += 1
    return found
