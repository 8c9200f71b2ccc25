"""A snapshot: one generation of the store, open for checking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.filters import candidates
from hashcore.gather import gather
from hashcore.hashtypes import HASH_TYPES, HashType, Rule
from hashcore.layout import HashSet, Manifest, Segment, open_column, read_current, read_filter, read_segment
from hashcore.memory import as_writable
from hashcore.rows import Digests
from hashcore.tables import Table, TableGroup

MOST_ENTRIES = 1000
"""Entries reported for one hash; a set that lists one hash more often than this is a broken set."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One known item, as it is named in answers.

    Args:
        set: name of its hash set.
        category: or None.
        id: external id, or None.
        added: when it came into the set (Unix seconds).
    """

    set: str
    category: str | None
    id: str | None
    added: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What matched in a batch, m matches sorted by query, distance and entry.

    Args:
        queries: int64[m], index of the digest in the batch.
        distances: int32[m], 0 for exact types.
        segments: int32[m], index of the segment in the snapshot.
        rows: int64[m], row of the entry in its segment.
        truncated: queries with more entries than are reported.
    """

    queries: NDArray[np.int64]
    distances: NDArray[np.int32]
    segments: NDArray[np.int32]
    rows: NDArray[np.int64]
    truncated: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.queries)


_NOTHING = Matches(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


class _OpenSegment:
    """A segment with its columns found in the map."""

    def __init__(self, transaction: Any, header: Segment, entry: HashSet) -> None:
        self.header = header
        self.set = entry
        self.columns = {
            name: open_column(transaction, header.number, name, spec) for name, spec in header.columns.items()
        }

    def table(self, kind: str) -> Table:
        return Table(
            self.columns[kind],
            self.columns[f"directory.{kind}"],
            self.header.directory_bits[kind],
            self.columns.get(f"order.{kind}"),
        )

    def entry(self, row: int) -> Entry:
        label = 0
        if "label" in self.columns:
            label = int.from_bytes(self.columns["label"].read(row, 1), "little")
        category, added = self.header.labels[label].category, self.header.labels[label].added
        return Entry(self.set.name, category, self._id(row), added)

    def _id(self, row: int) -> str | None:
        offsets = self.columns.get("id_offsets")
        if offsets is None:
            return None
        both = offsets.read(row, 2)
        start = int.from_bytes(both[: offsets.width], "little")
        length = int.from_bytes(both[offsets.width :], "little") - start
        return self.columns["id_data"].read(start, length).decode("utf-8", "replace") if length else None


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables of one hash type, and the segment that each belongs to."""

    group: TableGroup
    segments: NDArray[np.int32]

    @classmethod
    def over(cls, kind: HashType, segments: list[_OpenSegment], role: str) -> _Tables:
        chosen = [
            index
            for index, segment in enumerate(segments)
            if segment.set.role == role and kind.name in segment.header.types
        ]
        tables = [segments[index].table(kind.name) for index in chosen]
        return cls(TableGroup.of(kind.width, tables), np.array(chosen, np.int32))

    def __len__(self) -> int:
        return len(self.segments)


class Snapshot:
    """One generation, answering checks from the map.

    It owns the read transaction that keeps its addresses valid: use it inside `Store.read()` only.

    Args:
        transaction: an LMDB read transaction with buffers.
    """

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.manifest: Manifest = read_current(transaction)
        self._segments = [
            _OpenSegment(transaction, read_segment(transaction, number), entry)
            for _, entry in sorted(self.manifest.sets.items())
            for number in entry.segments
        ]
        exact = [kind for kind in HASH_TYPES.values() if kind.rule is Rule.EXACT]
        self._known = {kind.name: _Tables.over(kind, self._segments, "match") for kind in exact}
        self._good = {kind.name: _Tables.over(kind, self._segments, "known-good") for kind in exact}
        self._filters = {
            name: open_column(transaction, number, "words", read_filter(transaction, number))
            for name, number in self.manifest.filters.items()
        }

    @property
    def generation(self) -> int:
        """The number of the generation that answers."""
        return self.manifest.generation

    def close(self) -> None:
        """End the transaction; no address of this snapshot may be used from now on."""
        self._transaction.abort()

    def match(self, kind: HashType, digests: Digests) -> Matches:
        """Check a batch of digests of one type.

        Args:
            kind: an exact hash type.
            digests: uint8[n, width], C-contiguous.

        Returns:
            The matches; entries that a known-good set vouches for are left out. Releases the GIL for
            all that depends on n.
        """
        words = self._filters.get(kind.name)
        if words is None:
            return _NOTHING
        digests = as_writable(digests)
        passed = candidates(digests, words)
        if not len(passed):
            return _NOTHING
        tables = self._known[kind.name]
        found, of_table, rows = tables.group.search(digests, passed, MOST_ENTRIES + 1)
        if not len(found):
            return _NOTHING
        segments = tables.segments[of_table]
        keep = ~self._vouched_for(kind, digests, found, segments, rows)
        found, segments, rows = found[keep], segments[keep], rows[keep]
        order = np.lexsort((rows, segments, found))
        return _capped(found[order].astype(np.int64), segments[order], rows[order].astype(np.int64))

    def entry(self, segment: int, row: int) -> Entry:
        """Name the entry of a match."""
        return self._segments[segment].entry(row)

    def entries(self, matches: Matches) -> Iterable[Entry]:
        """Name the entry of every match, in order."""
        pairs = zip(matches.segments.tolist(), matches.rows.tolist(), strict=True)
        return (self._segments[segment].entry(row) for segment, row in pairs)

    def _vouched_for(
        self,
        kind: HashType,
        digests: Digests,
        found: NDArray[np.uint32],
        segments: NDArray[np.int32],
        rows: NDArray[np.uint32],
    ) -> NDArray[np.bool_]:
        """Which matches a known-good set vouches for, by the hash asked about or any other of the entry's."""
        vouched = np.zeros(len(found), np.bool_)
        if len(self._good[kind.name]):
            good, _, _ = self._good[kind.name].group.search(digests, np.unique(found), 1)
            vouched |= np.isin(found, good)
        for segment in np.unique(segments).tolist():
            of_segment = np.flatnonzero(segments == segment)
            for name in self._segments[segment].header.types:
                if name != kind.name and name in self._good and len(self._good[name]):
                    others = gather(self._segments[segment].columns[name], rows[of_segment])
                    everyone = np.arange(len(others), dtype=np.uint32)
                    good, _, _ = self._good[name].group.search(others, everyone, 1)
                    vouched[of_segment[good]] = True
        return vouched


def _capped(queries: NDArray[np.int64], segments: NDArray[np.int32], rows: NDArray[np.int64]) -> Matches:
    """Leave out what a query has beyond `MOST_ENTRIES`, and say for which queries that was done."""
    truncated: frozenset[int] = frozenset()
    if len(queries) > MOST_ENTRIES:
        rank = np.arange(len(queries)) - np.searchsorted(queries, queries)
        truncated = frozenset(queries[rank >= MOST_ENTRIES].tolist())
        keep = rank < MOST_ENTRIES
        queries, segments, rows = queries[keep], segments[keep], rows[keep]
    return Matches(queries, np.zeros(len(queries), np.int32), segments, rows, truncated)
