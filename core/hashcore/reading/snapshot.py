"""A snapshot: one generation of the store, open for reading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import as_writable
from hashcore.disk.layout import (
    Manifest,
    get_set,
    open_column,
    read_current,
    read_filter,
    read_id,
    read_segment,
)
from hashcore.disk.tombstones import NONE_DEAD, are_dead, read_tombstones
from hashcore.exact.filters import candidates
from hashcore.hashtypes import HashType, Rule, check_distance
from hashcore.reading.known_good import UNBOUNDED, KnownGood
from hashcore.reading.matches import NOTHING, Matches, cap, join, more_than
from hashcore.reading.opened import Entry, OpenSegment, codes_of_role, tables_of_role
from hashcore.reading.wanted import Wanted
from hashcore.rows import Digests

MOST_ENTRIES = 1000
"""Entries reported for one hash; a set that lists a hash more often than this is broken."""


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry with its hashes, for those who maintain a set; never for those who check.

    Args:
        hashes: its digests by type.
        category: its category, or None.
        added: when it was added to the set, in Unix seconds.
    """

    hashes: dict[str, bytes]
    category: str | None
    added: float


_MOST_STATES = 1024  # remembered at a time; there are as many as parties see different sets


class Snapshot:
    """One generation, which answers checks from the map.

    It owns the read transaction that keeps its addresses valid: use it only inside `Store.read()`.

    Args:
        transaction: an LMDB read transaction with buffers.
    """

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.manifest: Manifest = read_current(transaction)
        self.store_id = read_id(transaction)
        self._states: dict[frozenset[str] | None, str] = {}
        self._segments: list[OpenSegment] = []
        for _, entry in sorted(self.manifest.sets.items()):
            dead = read_tombstones(transaction, entry)
            self._segments += [
                OpenSegment(transaction, read_segment(transaction, number), entry, dead.get(number, NONE_DEAD))
                for number in entry.segments
            ]
        self._some_dead = any(len(segment.dead) for segment in self._segments)
        self._exact = tables_of_role(self._segments, "match")
        self._near = codes_of_role(self._segments, "match")
        self._known_good = KnownGood(self._segments)
        self._filters = {
            name: open_column(transaction, number, "words", read_filter(transaction, number).words)
            for name, number in self.manifest.filters.items()
        }

    @property
    def generation(self) -> int:
        """The number of the generation that the snapshot shows."""
        return self.manifest.generation

    def state(self, sets: frozenset[str] | None = None) -> str:
        """What tells this generation, as somebody sees it who may see some sets, from any other.

        Two answers with the same state are answers about the same entries. 16 hexadecimal digits.

        Args:
            sets: names of the sets whose matches are answered; None for all.
        """
        state = self._states.get(sets)
        if state is None:
            if len(self._states) >= _MOST_STATES:
                self._states.clear()
            seen = "*" if sets is None else "\0".join(sorted(sets))
            hasher = hashlib.blake2b(self.manifest.fingerprint(), digest_size=8)
            hasher.update(f"{self.store_id}\0{seen}".encode())
            state = self._states[sets] = hasher.hexdigest()
        return state

    def close(self) -> None:
        """End the transaction; no address of this snapshot may be used afterwards."""
        self._transaction.abort()

    def match(
        self,
        hash_type: HashType,
        digests: Digests,
        *,
        max_distance: int | None = None,
        most: int = MOST_ENTRIES,
        sets: frozenset[str] | None = None,
    ) -> Matches:
        """Check a batch of digests of one type.

        Args:
            hash_type: the type of the digests.
            digests: uint8[n, width], C-contiguous.
            max_distance: for a perceptual type, the greatest distance of a match; None uses the
                default of each set.
            most: how many entries to report for one digest, the nearest first.
            sets: names of the sets to match, None for all; known-good sets always apply.

        Returns:
            The matches, without those that a known-good set vouches for. The GIL is released for
            all work that grows with n.

        Raises:
            BadDistance: the type does not allow the distance.
        """
        if max_distance is not None:
            check_distance(hash_type.name, max_distance)
        return self._match(hash_type, as_writable(digests), max_distance, most, sets)

    def _match(
        self,
        hash_type: HashType,
        digests: Digests,
        max_distance: int | None,
        most: int,
        sets: frozenset[str] | None,
    ) -> Matches:
        if hash_type.rule is Rule.EXACT:
            found = self._search_exact(hash_type, digests, most)
        else:
            found = self._search_near(hash_type, digests, max_distance, most, sets)
        if not len(found):
            return NOTHING
        if sets is not None or self._some_dead:
            found = found.where(self._are_counted(found, sets))
        if len(found):
            found = self._known_good.without_vouched_for(hash_type, digests, found)
        # Where some of what was found does not count, the search may have cut off others that do.
        left = np.bincount(found.queries, minlength=len(digests))
        short = [query for query in sorted(found.truncated) if left[query] <= most]
        if not short:
            return cap(found, most)
        again = self._match(hash_type, np.ascontiguousarray(digests[short]), max_distance, UNBOUNDED, sets)
        again = Matches(np.array(short, np.int64)[again.queries], again.distances, again.segments, again.rows)
        others = found.where(~np.isin(found.queries, short))
        return cap(join([others, again], found.truncated - frozenset(short)), most)

    def _are_counted(self, found: Matches, sets: frozenset[str] | None) -> NDArray[np.bool_]:
        """Which matches are of a set that was asked for, and not withdrawn, bool[m]."""
        counted = np.zeros(len(found), np.bool_)
        for number in np.unique(found.segments).tolist():
            segment = self._segments[number]
            if sets is None or segment.set.name in sets:
                of_segment = found.segments == number
                counted[of_segment] = ~are_dead(segment.dead, found.rows[of_segment])
        return counted

    def _search_exact(self, hash_type: HashType, digests: Digests, most: int) -> Matches:
        """Rows with the digests; those with more than `most` in a segment count as truncated."""
        words, tables = self._filters.get(hash_type.name), self._exact.get(hash_type.name)
        if words is None or tables is None:
            return NOTHING
        passed = candidates(digests, words)
        if not len(passed):
            return NOTHING
        found, of_table, rows = tables.group.search(digests, passed, most + 1)
        queries, segments = found.astype(np.int64), tables.segments[of_table]
        cut = frozenset(more_than(queries, most))
        return Matches(queries, np.zeros(len(found), np.int32), segments, rows.astype(np.int64), cut)

    def _search_near(
        self,
        hash_type: HashType,
        digests: Digests,
        max_distance: int | None,
        most: int,
        sets: frozenset[str] | None,
    ) -> Matches:
        """Rows within the distance; those with more than `most` in a segment count as truncated."""
        parts: list[Matches] = []
        cut: set[int] = set()
        for codes in self._near.get(hash_type.name, []):
            if sets is not None and self._segments[codes.segment].set.name not in sets:
                continue
            radius = codes.default if max_distance is None else max_distance
            found = codes.find(digests, radius, most + 1)
            if not len(found):
                continue
            cut.update(more_than(found.queries, most))
            segments = np.full(len(found), codes.segment, np.int32)
            parts.append(Matches(found.queries, found.distances, segments, found.rows))
        return join(parts, frozenset(cut)) if parts else NOTHING

    def entries(self, matches: Matches) -> Iterable[Entry]:
        """The entry of every match, in the order of the matches."""
        pairs = zip(matches.segments.tolist(), matches.rows.tolist(), strict=True)
        return (self._segments[segment].entry(row) for segment, row in pairs)

    def find(self, set_name: str, id: str) -> list[KnownEntry]:
        """The entries of a set that have an external id. O(entries of the set).

        Raises:
            UnknownSet: no set has that name.
        """
        return self.find_all(set_name, [id]).get(id, [])

    def find_all(self, set_name: str, ids: Iterable[str]) -> dict[str, list[KnownEntry]]:
        """The entries of a set that have some external ids, by id. O(entries of the set).

        Raises:
            UnknownSet: no set has that name.
        """
        wanted = Wanted(each.encode() for each in ids)
        found: dict[str, list[KnownEntry]] = {}
        for segment in self._segments_of(set_name):
            for row in wanted.rows_by_id(self._transaction, segment.header, segment.dead).tolist():
                hashes = {name: segment.columns[name].read(row, 1) for name in segment.header.types}
                entry = segment.entry(row)
                assert entry.id is not None
                found.setdefault(entry.id, []).append(KnownEntry(hashes, entry.category, entry.added))
        return found

    def count_entries(self, set_name: str, ids: Iterable[str], digests: Iterable[bytes]) -> int:
        """Count the entries of a set that have one of some ids or, without an id, first digests.

        An entry is identified by one or the other, see `Entry`. O(entries of the set).

        Raises:
            UnknownSet: no set has that name.
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
