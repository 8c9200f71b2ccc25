"""A snapshot: one generation of the store, open for checking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.exact.filters import candidates
from hashcore.arrays.gather import gather
from hashcore.hashtypes import HASH_TYPES, HashType, Rule, check_distance
from hashcore.disk.layout import (
    Manifest,
    get_set,
    open_column,
    read_current,
    read_filter,
    read_segment,
)
from hashcore.arrays.memory import as_writable
from hashcore.reading.opened import Codes, Entry, OpenSegment, Tables
from hashcore.rows import Digests
from hashcore.exact.tables import TableGroup
from hashcore.disk.tombstones import NONE_DEAD, are_dead, read_tombstones
from hashcore.reading.wanted import Wanted

MOST_ENTRIES = 1000
"""Entries reported for one hash; a set that lists one hash more often than this is a broken set."""


_UNBOUNDED = 1 << 30


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry with its hashes, for those who look after a set; never for those who check.

    Args:
        hashes: digests by type.
        category: or None.
        added: when it came into the set (Unix seconds).
    """

    hashes: dict[str, bytes]
    category: str | None
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

    def where(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches of a mask."""
        return Matches(
            self.queries[keep], self.distances[keep], self.segments[keep], self.rows[keep], self.truncated
        )


_NOTHING = Matches(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


class Snapshot:
    """One generation, answering checks from the map.

    It owns the read transaction that keeps its addresses valid: use it inside `Store.read()` only.

    Args:
        transaction: an LMDB read transaction with buffers.
    """

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.manifest: Manifest = read_current(transaction)
        self._segments: list[OpenSegment] = []
        for _, entry in sorted(self.manifest.sets.items()):
            dead = read_tombstones(transaction, entry)
            self._segments += [
                OpenSegment(transaction, read_segment(transaction, number), entry, dead.get(number, NONE_DEAD))
                for number in entry.segments
            ]
        self._some_dead = any(len(segment.dead) for segment in self._segments)
        exact = [kind for kind in HASH_TYPES.values() if kind.rule is Rule.EXACT]
        self._known = {kind.name: Tables.over(kind, self._segments, "match") for kind in exact}
        self._good = {kind.name: Tables.over(kind, self._segments, "known-good") for kind in exact}
        self._near: dict[tuple[str, str], list[Codes]] = {}
        for number, segment in enumerate(self._segments):
            for name in segment.header.types:
                if HASH_TYPES[name].is_near:
                    codes = Codes.of(number, segment, HASH_TYPES[name])
                    self._near.setdefault((name, segment.set.role), []).append(codes)
        self._benign: dict[tuple[int, str], bool] = {}
        self._filters = {
            name: open_column(transaction, number, "words", read_filter(transaction, number).words)
            for name, number in self.manifest.filters.items()
        }

    @property
    def generation(self) -> int:
        """The number of the generation that answers."""
        return self.manifest.generation

    def close(self) -> None:
        """End the transaction; no address of this snapshot may be used from now on."""
        self._transaction.abort()

    def match(
        self,
        kind: HashType,
        digests: Digests,
        *,
        max_distance: int | None = None,
        most: int = MOST_ENTRIES,
        sets: frozenset[str] | None = None,
    ) -> Matches:
        """Check a batch of digests of one type.

        Args:
            kind: their type.
            digests: uint8[n, width], C-contiguous.
            max_distance: of a perceptual type, the greatest distance of a match; None: each set's own default.
            most: entries to report for one digest, the nearest ones.
            sets: names of the sets whose entries count, None for all; known-good sets always apply.

        Returns:
            The matches; entries that a known-good set vouches for are left out. Releases the GIL for
            all that depends on n.

        Raises:
            BadDistance: the type has no such distance.
        """
        if max_distance is not None:
            check_distance(kind.name, max_distance)
        return self._match(kind, as_writable(digests), max_distance, most, sets)

    def _match(
        self,
        kind: HashType,
        digests: Digests,
        max_distance: int | None,
        most: int,
        sets: frozenset[str] | None,
    ) -> Matches:
        if kind.rule is Rule.EXACT:
            found = self._search_exact(kind, digests, most)
        else:
            found = self._search_near(kind, digests, max_distance, most, sets)
        if not len(found):
            return _NOTHING
        if sets is not None or self._some_dead:
            found = found.where(self._count(found.segments, found.rows, sets))
        if len(found) and (vouching := self._vouching_hashes(kind, found)):
            found = found.where(~self._vouched_for_entries(kind, found, vouching))
        if len(found) and self._has_good(kind.name):
            found = found.where(self._nearest_good(kind, digests, found) > found.distances)
        # Where some of what was found does not count, more may lie behind what the search cut off.
        left = np.bincount(found.queries, minlength=len(digests))
        short = [query for query in sorted(found.truncated) if left[query] <= most]
        if not short:
            return _capped(found, most)
        again = self._match(kind, np.ascontiguousarray(digests[short]), max_distance, _UNBOUNDED, sets)
        again = Matches(np.array(short, np.int64)[again.queries], again.distances, again.segments, again.rows)
        others = found.where(~np.isin(found.queries, short))
        return _capped(_join([others, again], found.truncated - frozenset(short)), most)

    def _count(
        self, segments: NDArray[np.int32], rows: NDArray[np.integer[Any]], sets: frozenset[str] | None = None
    ) -> NDArray[np.bool_]:
        """Which rows found count: not withdrawn, and of one of the sets asked for."""
        counts = np.zeros(len(rows), np.bool_)
        for number in np.unique(segments).tolist():
            segment = self._segments[number]
            if sets is None or segment.set.name in sets:
                of_segment = segments == number
                counts[of_segment] = ~are_dead(segment.dead, rows[of_segment])
        return counts

    def _search_exact(self, kind: HashType, digests: Digests, most: int) -> Matches:
        """All rows that hold the digests; where one has more than `most` in a segment, it is cut and named."""
        words = self._filters.get(kind.name)
        if words is None:
            return _NOTHING
        passed = candidates(digests, words)
        if not len(passed):
            return _NOTHING
        tables = self._known[kind.name]
        found, of_table, rows = tables.group.search(digests, passed, most + 1)
        queries, segments = found.astype(np.int64), tables.segments[of_table]
        cut = frozenset(_more_than(queries, most))
        return Matches(queries, np.zeros(len(found), np.int32), segments, rows.astype(np.int64), cut)

    def _search_near(
        self,
        kind: HashType,
        digests: Digests,
        max_distance: int | None,
        most: int,
        sets: frozenset[str] | None,
    ) -> Matches:
        """All rows within the distance, of each segment the nearest; which queries were cut is named."""
        parts: list[Matches] = []
        cut: set[int] = set()
        for codes in self._near.get((kind.name, "match"), []):
            if sets is not None and self._segments[codes.segment].set.name not in sets:
                continue
            radius = codes.default if max_distance is None else max_distance
            found = codes.find(digests, radius, most + 1)
            if not len(found):
                continue
            cut.update(_more_than(found.queries, most))
            segments = np.full(len(found), codes.segment, np.int32)
            parts.append(Matches(found.queries, found.distances, segments, found.rows))
        return _join(parts, frozenset(cut)) if parts else _NOTHING

    def _nearest_good(self, kind: HashType, digests: Digests, matches: Matches) -> NDArray[np.int32]:
        """How far each match's query is from the nearest known-good entry near it; a large number without one."""
        nearest = np.full(len(digests), _UNBOUNDED, np.int32)
        asked = np.unique(matches.queries)
        if kind.rule is Rule.EXACT and len(self._good[kind.name]):
            nearest[self._find_good(kind.name, digests, asked.astype(np.uint32))] = 0
        for codes in self._near.get((kind.name, "known-good"), []):
            queries, distances = self._find_good_near(codes, digests[asked], codes.default)
            np.minimum.at(nearest, asked[queries], distances)
        return nearest[matches.queries]

    def entry(self, segment: int, row: int) -> Entry:
        """Name the entry of a match."""
        return self._segments[segment].entry(row)

    def entries(self, matches: Matches) -> Iterable[Entry]:
        """Name the entry of every match, in order."""
        pairs = zip(matches.segments.tolist(), matches.rows.tolist(), strict=True)
        return (self._segments[segment].entry(row) for segment, row in pairs)

    def find(self, set_name: str, id: str) -> list[KnownEntry]:
        """The entries of a set that have an external id; looks at every id of the set.

        Raises:
            UnknownSet: there is none of that name.
        """
        return self.find_all(set_name, [id]).get(id, [])

    def find_all(self, set_name: str, ids: Iterable[str]) -> dict[str, list[KnownEntry]]:
        """The entries of a set that have some external ids, by id; looks once at every id of the set.

        Raises:
            UnknownSet: there is none of that name.
        """
        wanted = Wanted(each.encode() for each in ids)
        found: dict[str, list[KnownEntry]] = {}
        for segment in self._segments_of(set_name):
            for row in wanted.rows_by_id(self._transaction, segment.header, segment.dead).tolist():
                hashes = {name: segment.columns[name].read(row, 1) for name in segment.header.types}
                label = segment.label(row)
                id = segment.entry(row).id
                assert id is not None
                found.setdefault(id, []).append(KnownEntry(hashes, label.category, label.added))
        return found

    def count_entries(self, set_name: str, ids: Iterable[str], digests: Iterable[bytes]) -> int:
        """How many entries a set has with one of some ids or, without an id, one of some first digests.

        These are what tells entries apart, see `Entry`; looks once at every id, or first digest, of the set.

        Raises:
            UnknownSet: there is none of that name.
        """
        by_id, by_digest = Wanted(each.encode() for each in ids), Wanted(digests)
        count = 0
        for segment in self._segments_of(set_name):
            arguments = self._transaction, segment.header, segment.dead
            count += len(by_id.rows_by_id(*arguments)) + len(by_digest.rows_by_digest(*arguments))
        return count

    def _segments_of(self, set_name: str) -> list[OpenSegment]:
        numbers = get_set(self.manifest, set_name).segments
        return [segment for segment in self._segments if segment.header.number in numbers]

    def _vouching_hashes(self, kind: HashType, matches: Matches) -> list[tuple[int, list[str]]]:
        """Segments of the matches and the types by which entries in them may be harmless; mostly none."""
        vouching = []
        for segment in sorted(set(matches.segments.tolist())):
            names = [
                name
                for name in self._segments[segment].header.types
                if (name != kind.name and self._has_good(name)) or self._holds_benign(segment, name)
            ]
            if names:
                vouching.append((segment, names))
        return vouching

    def _holds_benign(self, segment: int, name: str) -> bool:
        """Whether a segment has a hash that is harmless and everywhere.

        A load refuses them, but a set may have been loaded as known-good and made to match since.
        """
        known = self._benign.get((segment, name))
        if known is None:
            opened, kind = self._segments[segment], HASH_TYPES[name]
            benign = np.frombuffer(bytearray(b"".join(kind.benign)), np.uint8).reshape(-1, kind.width)
            if kind.rule is Rule.EXACT:
                tables = TableGroup.of(kind.width, [opened.table(name)])
                known = bool(len(tables.search(benign, np.arange(len(benign), dtype=np.uint32), 1)[0]))
            else:
                known = bool(len(Codes.of(segment, opened, kind).find(benign, 0, 1)))
            self._benign[segment, name] = known
        return known

    def _vouched_for_entries(
        self, kind: HashType, matches: Matches, vouching: list[tuple[int, list[str]]]
    ) -> NDArray[np.bool_]:
        """Which entries are harmless by some hash of theirs: benign, or in a known-good set by another hash."""
        vouched = np.zeros(len(matches), np.bool_)
        for segment, names in vouching:
            of_segment = np.flatnonzero(matches.segments == segment)
            rows = matches.rows[of_segment].astype(np.uint32)
            for name in names:
                digests = gather(self._segments[segment].columns[name], rows)
                for benign in HASH_TYPES[name].benign:
                    vouched[of_segment] |= (digests == np.frombuffer(benign, np.uint8)).all(axis=1)
                if name != kind.name and self._has_good(name):
                    vouched[of_segment[self._held_as_good(name, digests)]] = True
        return vouched

    def _has_good(self, name: str) -> bool:
        return (name, "known-good") in self._near or (name in self._good and len(self._good[name]) > 0)

    def _held_as_good(self, name: str, digests: Digests) -> NDArray[np.integer[Any]]:
        """Which digests stand in a known-good set as they are, indices in no particular order."""
        if name in self._good:
            return self._find_good(name, digests, np.arange(len(digests), dtype=np.uint32))
        near = self._near[name, "known-good"]
        return np.concatenate([self._find_good_near(codes, digests, 0)[0] for codes in near])

    def _find_good(self, name: str, digests: Digests, asked: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Which of the digests asked for known-good sets hold; one may come several times."""
        tables = self._good[name]
        if not any(len(self._segments[number].dead) for number in tables.segments.tolist()):
            return tables.group.search(digests, asked, 1)[0]
        # Behind a row that has been withdrawn there may be one that has not.
        found, of_table, rows = tables.group.search(digests, asked, _UNBOUNDED)
        return found[self._count(tables.segments[of_table], rows)]

    def _find_good_near(
        self, codes: Codes, digests: Digests, radius: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Digests near entries of a known-good column, and how far; one may come several times."""
        dead = self._segments[codes.segment].dead
        found = codes.find(digests, radius, _UNBOUNDED if len(dead) else 1)
        alive = ~are_dead(dead, found.rows)
        return found.queries[alive], found.distances[alive]


def _more_than(queries: NDArray[np.int64], most: int) -> list[int]:
    """Which queries stand there more than so many times."""
    if len(queries) <= most:
        return []
    distinct, counts = np.unique(queries, return_counts=True)
    return [int(query) for query in distinct[counts > most]]


def _join(parts: list[Matches], truncated: frozenset[int]) -> Matches:
    return Matches(
        np.concatenate([part.queries for part in parts]),
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.segments for part in parts]),
        np.concatenate([part.rows for part in parts]),
        truncated,
    )


def _capped(matches: Matches, most: int) -> Matches:
    """Sort by query, distance and entry, leave out what a query has beyond `most`, and say which those are."""
    order = np.lexsort((matches.rows, matches.segments, matches.distances, matches.queries))
    queries = matches.queries[order]
    over = _more_than(queries, most)
    if over:
        order = order[np.arange(len(order)) - np.searchsorted(queries, queries) < most]
    return Matches(
        matches.queries[order],
        matches.distances[order],
        matches.segments[order],
        matches.rows[order],
        matches.truncated | frozenset(over),
    )
