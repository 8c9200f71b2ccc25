"""What keeps matches from being reported: known-good sets, and hashes that are benign."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.gather import gather
from hashcore.disk.tombstones import are_dead
from hashcore.exact.tables import TableGroup
from hashcore.hashtypes import HASH_TYPES, HashType, Rule
from hashcore.pictures.blank import are_blank
from hashcore.reading.matches import Matches
from hashcore.reading.opened import Codes, OpenSegment, codes_of_role, tables_of_role
from hashcore.rows import Digests

UNBOUNDED = 1 << 30
"""More entries than a query can match, and a greater distance than two hashes can have."""


class KnownGood:
    """What the known-good sets of a generation vouch for.

    Args:
        segments: all segments of the generation, those of match sets included.
    """

    def __init__(self, segments: list[OpenSegment]) -> None:
        self._segments = segments
        self._exact = tables_of_role(segments, "known-good")
        self._near = codes_of_role(segments, "known-good")
        self._benign: dict[tuple[int, str], bool] = {}

    def without_vouched_for(self, hash_type: HashType, digests: Digests, matches: Matches) -> Matches:
        """Leave out the matches that something vouches for.

        The hash of a blank picture matches nothing, see `hashcore.pictures.blank`. An entry never
        matches if one of its hashes is benign, or if a known-good set has one of its hashes of
        other types. A match is left out if a known-good entry is at least as near to its query.

        Args:
            hash_type: the type of the digests.
            digests: uint8[n, width], the queries.
            matches: their matches.

        Returns:
            The matches that are left, in the same order.
        """
        if hash_type.is_near:
            blank = are_blank(hash_type, digests[np.unique(matches.queries)])
            if blank.any():
                matches = matches.where(~np.isin(matches.queries, np.unique(matches.queries)[blank]))
        if vouching := self._vouching_hashes(hash_type, matches):
            matches = matches.where(~self._vouched_for_entries(hash_type, matches, vouching))
        if len(matches) and self._has(hash_type.name):
            matches = matches.where(self._nearest(hash_type, digests, matches) > matches.distances)
        return matches

    def _nearest(self, hash_type: HashType, digests: Digests, matches: Matches) -> NDArray[np.int32]:
        """Distance of each match's query to the nearest known-good entry; `UNBOUNDED` without one.

        int32[m].
        """
        nearest = np.full(len(digests), UNBOUNDED, np.int32)
        asked = np.unique(matches.queries)
        if hash_type.name in self._exact:
            nearest[self._find(hash_type.name, digests, asked.astype(np.uint32))] = 0
        for codes in self._near.get(hash_type.name, []):
            queries, distances = self._find_near(codes, digests[asked], codes.default)
            np.minimum.at(nearest, asked[queries], distances)
        return nearest[matches.queries]

    def _vouching_hashes(self, hash_type: HashType, matches: Matches) -> list[tuple[int, list[str]]]:
        """Segments of the matches, and the types that may vouch for their entries; usually none."""
        vouching = []
        for segment in sorted(set(matches.segments.tolist())):
            names = [
                name
                for name in self._segments[segment].header.types
                if (name != hash_type.name and self._has(name)) or self._holds_benign(segment, name)
            ]
            if names:
                vouching.append((segment, names))
        return vouching

    def _holds_benign(self, segment: int, name: str) -> bool:
        """Whether a segment has a benign hash of a type.

        A match set refuses them, but a set may have been loaded as known-good before it became one.
        """
        known = self._benign.get((segment, name))
        if known is None:
            opened, hash_type = self._segments[segment], HASH_TYPES[name]
            benign = np.frombuffer(bytearray(b"".join(hash_type.benign)), np.uint8).reshape(-1, hash_type.width)
            if hash_type.rule is Rule.EXACT:
                tables = TableGroup.of(hash_type.width, [opened.table(name)])
                known = bool(len(tables.search(benign, np.arange(len(benign), dtype=np.uint32), 1)[0]))
            else:
                known = bool(len(Codes.of(segment, opened, hash_type).find(benign, 0, 1)))
            self._benign[segment, name] = known
        return known

    def _vouched_for_entries(
        self, hash_type: HashType, matches: Matches, vouching: list[tuple[int, list[str]]]
    ) -> NDArray[np.bool_]:
        """Which entries have a benign hash, or a hash of another type that a known-good set has.

        bool[m].
        """
        vouched = np.zeros(len(matches), np.bool_)
        for segment, names in vouching:
            of_segment = np.flatnonzero(matches.segments == segment)
            rows = matches.rows[of_segment].astype(np.uint32)
            for name in names:
                digests = gather(self._segments[segment].columns[name], rows)
                for benign in HASH_TYPES[name].benign:
                    vouched[of_segment] |= (digests == np.frombuffer(benign, np.uint8)).all(axis=1)
                if name != hash_type.name and self._has(name):
                    vouched[of_segment[self._held_as_good(name, digests)]] = True
        return vouched

    def _has(self, name: str) -> bool:
        """Whether a known-good set has hashes of a type."""
        return name in self._exact or name in self._near

    def _held_as_good(self, name: str, digests: Digests) -> NDArray[np.integer[Any]]:
        """Indices of the digests that a known-good set has, in no particular order."""
        if name in self._exact:
            return self._find(name, digests, np.arange(len(digests), dtype=np.uint32))
        near = self._near[name]
        return np.concatenate([self._find_near(codes, digests, 0)[0] for codes in near])

    def _find(self, name: str, digests: Digests, asked: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Which of the `asked` digests known-good sets have; one may come several times."""
        tables = self._exact[name]
        if not any(len(self._segments[number].dead) for number in tables.segments.tolist()):
            return tables.group.search(digests, asked, 1)[0]
        # A withdrawn row may hide another one that has not been withdrawn.
        found, of_table, rows = tables.group.search(digests, asked, UNBOUNDED)
        alive = np.zeros(len(found), np.bool_)
        for number in np.unique(of_table).tolist():
            of_segment = of_table == number
            dead = self._segments[int(tables.segments[number])].dead
            alive[of_segment] = ~are_dead(dead, rows[of_segment])
        return found[alive]

    def _find_near(
        self, codes: Codes, digests: Digests, radius: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Digests near known-good hashes, and their distances; one may come several times."""
        dead = self._segments[codes.segment].dead
        found = codes.find(digests, radius, UNBOUNDED if len(dead) else 1)
        alive = ~are_dead(dead, found.rows)
        return found.queries[alive], found.distances[alive]
