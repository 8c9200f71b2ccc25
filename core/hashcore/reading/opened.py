"""What a snapshot opens in the map: segments, their tables, and their perceptual hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.disk.layout import HashSet, Label, Segment, open_column
from hashcore.disk.tombstones import DeadRows
from hashcore.exact.tables import Table, TableGroup
from hashcore.hashtypes import HASH_TYPES, HashType, Rule
from hashcore.near.multiindex import Geometry
from hashcore.near.nearest import NearMatches, PerceptualIndex, find_within
from hashcore.rows import Digests


@dataclass(frozen=True, slots=True)
class Entry:
    """One known item, as answers name it.

    Args:
        set: the name of its hash set.
        category: its category, or None.
        id: its external id, or None.
        added: when it was added to the set, in Unix seconds.
        digest: its first hash, which identifies an entry without an id; None if it has an id.
    """

    set: str
    category: str | None
    id: str | None
    added: float
    digest: bytes | None = None


class OpenSegment:
    """A segment with its columns opened in the map, its set, and its withdrawn rows."""

    def __init__(self, transaction: Any, header: Segment, entry: HashSet, dead: DeadRows) -> None:
        self.header = header
        self.set = entry
        self.dead = dead
        self.columns = {
            name: open_column(transaction, header.number, name, spec) for name, spec in header.columns.items()
        }

    def table(self, hash_type: str) -> Table:
        """The table that finds rows by their digest of an exact type."""
        return Table(
            self.columns[hash_type],
            self.columns[f"directory.{hash_type}"],
            self.header.directory_bits[hash_type],
            self.columns.get(f"order.{hash_type}"),
        )

    def entry(self, row: int) -> Entry:
        """The entry that a row stands for, copied out of the map."""
        label, id = self._label(row), self._id(row)
        digest = None if id is not None else self.columns[self.header.types[0]].read(row, 1)
        return Entry(self.set.name, label.category, id, label.added, digest)

    def _label(self, row: int) -> Label:
        number = 0
        if "label" in self.columns:
            number = int.from_bytes(self.columns["label"].read(row, 1), "little")
        return self.header.labels[number]

    def _id(self, row: int) -> str | None:
        offsets = self.columns.get("id_offsets")
        if offsets is None:
            return None
        both = offsets.read(row, 2)
        start = int.from_bytes(both[: offsets.width], "little")
        length = int.from_bytes(both[offsets.width :], "little") - start
        return self.columns["id_data"].read(start, length).decode("utf-8", "replace") if length else None


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one exact hash type.

    Args:
        group: the tables, searched in one call.
        segments: int32[tables], index of each table's segment in the snapshot.
    """

    group: TableGroup
    segments: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Codes:
    """One segment's hashes of a perceptual type.

    Args:
        segment: index of the segment in the snapshot.
        rule: how the hashes are compared.
        column: the hashes, in row order.
        index: the index over them, or None if they are scanned.
        default: the greatest distance of a match, unless a request says otherwise.
    """

    segment: int
    rule: Rule
    column: Column
    index: PerceptualIndex | None
    default: int

    @classmethod
    def of(cls, number: int, segment: OpenSegment, hash_type: HashType) -> Codes:
        """Open the hashes of a type in the segment with this index in the snapshot."""
        index = None
        chunks = segment.header.chunks.get(hash_type.name, 0)
        if chunks:
            directories = [segment.columns[f"index.{hash_type.name}.{chunk}"] for chunk in range(chunks)]
            postings = [segment.columns[f"postings.{hash_type.name}.{chunk}"] for chunk in range(chunks)]
            index = PerceptualIndex.of(Geometry(hash_type.width, chunks), directories, postings)
        default = segment.set.distances.get(hash_type.name, hash_type.default_distance)
        return cls(number, hash_type.rule, segment.columns[hash_type.name], index, default)

    def find(self, digests: Digests, radius: int, most: int) -> NearMatches:
        """Find hashes within a distance of each digest; see `hashcore.near.nearest.find_within`."""
        return find_within(self.column, self.index, digests, radius, most, rule=self.rule)


def tables_of_role(segments: list[OpenSegment], role: str) -> dict[str, Tables]:
    """The tables of all sets of a role, by exact type; types without any are left out."""
    found: dict[str, Tables] = {}
    for hash_type in HASH_TYPES.values():
        numbers = [
            number
            for number, segment in enumerate(segments)
            if segment.set.role == role and hash_type.name in segment.header.types
        ]
        if numbers and hash_type.rule is Rule.EXACT:
            tables = [segments[number].table(hash_type.name) for number in numbers]
            group = TableGroup.of(hash_type.width, tables)
            found[hash_type.name] = Tables(group, np.array(numbers, np.int32))
    return found


def codes_of_role(segments: list[OpenSegment], role: str) -> dict[str, list[Codes]]:
    """The hashes of all sets of a role, by perceptual type; types without any are left out."""
    found: dict[str, list[Codes]] = {}
    for number, segment in enumerate(segments):
        for name in segment.header.types if segment.set.role == role else ():
            if HASH_TYPES[name].is_near:
                found.setdefault(name, []).append(Codes.of(number, segment, HASH_TYPES[name]))
    return found
