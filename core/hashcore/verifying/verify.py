"""Verifying a store: is everything there, is it what was written, and does it fit together?

All kept generations are read, every piece is compared with its checksum, and every rule that
lookups rely on is checked item by item, not by samples. Headers and manifests have no checksums;
they are compared with the columns. What a running or killed change has staged belongs to no
generation, and is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from hashcore.arrays.columns import Column
from hashcore.arrays.xxh64 import checksum
from hashcore.disk.environment import SMALLEST_MAP
from hashcore.disk.layout import (
    KEY_NEXT,
    ColumnSpec,
    Filter,
    HashSet,
    Manifest,
    Segment,
    Tombstones,
    check_format,
    manifest_numbers,
    piece_key,
    read_filter,
    read_generation,
    read_id,
    read_manifest,
    read_number,
    read_segment,
)
from hashcore.disk.wholeness import DATA_FILE, check_not_empty, check_whole
from hashcore.errors import StoreCorrupt, StoreError
from hashcore.exact.filters import missing_digests
from hashcore.hashtypes import HASH_TYPES, Rule
from hashcore.verifying.invariants import FINE, first_descent
from hashcore.verifying.segment_rules import broken_rules

_ROLES = ("match", "known-good")
_MOST_SHIFT = 48


@dataclass(slots=True)
class Verified:
    """What was verified, sound or not.

    Args:
        store: the store's id; "" before its first publication.
        generation: the number of the published generation.
        generations: how many generations are kept.
        segments, filters, tombstones, pieces, bytes: how many of them were verified.
        problems: how many problems were found.
    """

    store: str = ""
    generation: int = 0
    generations: int = 0
    segments: int = 0
    filters: int = 0
    tombstones: int = 0
    pieces: int = 0
    bytes: int = 0
    problems: int = 0


@dataclass(slots=True)
class _Contents:
    """What the kept generations consist of, each object once."""

    manifests: dict[int, Manifest] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    tombstones: dict[int, Tombstones] = field(default_factory=dict)
    filters: dict[str, tuple[int, Filter]] = field(default_factory=dict)

    def bytes(self) -> int:
        specs = [spec for segment in self.segments.values() for spec in segment.columns.values()]
        specs += [each.rows for each in self.tombstones.values()]
        specs += [each.words for _, each in self.filters.values()]
        return sum(spec.items * spec.width for spec in specs)


def verify_copy(
    folder: Path, on_problem: Callable[[str], None], on_progress: Callable[[int, int], None] = lambda *_: None
) -> Verified:
    """Verify a store that no process has open, such as a backup; no file is created beside it.

    Args:
        folder: the folder of the data file.
        on_problem, on_progress: as for `verify`.

    Raises:
        StoreError: the folder has no store, or it cannot be opened.
        FormatMismatch: the store was written in another format.
    """
    if not (folder / DATA_FILE).is_file():
        raise StoreError(f"there is no {DATA_FILE} in {folder}; name the folder of a store")
    check_not_empty(folder)
    try:
        environment = lmdb.open(os.fspath(folder), map_size=SMALLEST_MAP, readonly=True, lock=False, create=False)
    except lmdb.Error as error:
        raise StoreError(f"cannot open the store in {folder}: {error}") from error
    with environment:
        info = environment.info()
        check_whole(folder, (int(info["last_pgno"]) + 1) * environment.stat()["psize"])
        with environment.begin(buffers=True) as transaction:
            return verify(transaction, on_problem, on_progress)


def verify(
    transaction: Any,
    on_problem: Callable[[str], None],
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Verified:
    """Verify what a read transaction sees.

    Args:
        transaction: a read transaction with buffers.
        on_problem: called with a sentence for each problem, which never contains a hash.
        on_progress: called with the bytes verified so far, and in all.

    Returns:
        What was verified. O(bytes); ten million MD5s in the page cache take a tenth of a second.

    Raises:
        FormatMismatch: the store was written in another format.
    """
    return _Verification(transaction, on_problem, on_progress).run()


class _Verification:
    def __init__(
        self, transaction: Any, on_problem: Callable[[str], None], on_progress: Callable[[int, int], None]
    ) -> None:
        self._transaction = transaction
        self._on_problem, self._on_progress = on_problem, on_progress
        self._contents = _Contents()
        self._done = Verified()
        self._total = 0

    def run(self) -> Verified:
        check_format(self._transaction)
        self._read_headers()
        self._total = self._contents.bytes()
        sound: dict[tuple[int, str], Column] = {}
        for segment in self._contents.segments.values():
            columns = {
                name: column
                for name, spec in segment.columns.items()
                if (column := self._pieces("segment", segment.number, name, spec)) is not None
            }
            for sentence in broken_rules(segment, columns):
                self._tell(sentence)
            sound.update(
                ((segment.number, hash_type), columns[hash_type])
                for hash_type in segment.types
                if hash_type in columns
            )
        for each in self._contents.tombstones.values():
            self._check_tombstones(each)
        for hash_type, (number, header) in self._contents.filters.items():
            self._check_filter(hash_type, number, header, sound)
        self._check_that_filters_exist()
        for manifest in self._contents.manifests.values():
            for name, entry in manifest.sets.items():
                self._check_set(f"set {name!r} of generation {manifest.generation}", entry)
        return self._done

    def _tell(self, sentence: str) -> None:
        self._done.problems += 1
        self._on_problem(sentence)

    def _read_headers(self) -> None:
        contents, done = self._contents, self._done
        done.store, done.generation = read_id(self._transaction), read_generation(self._transaction)
        numbers = manifest_numbers(self._transaction)
        if done.generation not in numbers and done.generation:
            self._tell(f"the manifest of the current generation {done.generation} is missing")
        for number in numbers:
            manifest = self._try(read_manifest, number)
            if manifest is None:
                continue
            if manifest.generation != number:
                self._tell(
                    f"the manifest of generation {number} says that it is of generation {manifest.generation}"
                )
            contents.manifests[number] = manifest
            for entry in manifest.sets.values():
                self._read_objects(entry)
        current = contents.manifests.get(done.generation)
        for hash_type, number in ({} if current is None else current.filters).items():
            header = self._try(read_filter, number)
            if header is not None and hash_type in HASH_TYPES:
                contents.filters[hash_type] = (number, header)
        done.generations = len(contents.manifests)
        done.segments, done.tombstones = len(contents.segments), len(contents.tombstones)
        done.filters = len(contents.filters)
        used = [*contents.segments, *contents.tombstones, *(number for number, _ in contents.filters.values())]
        if max(used, default=0) > read_number(self._transaction, KEY_NEXT):
            self._tell(
                f"the store counts {read_number(self._transaction, KEY_NEXT)} objects, but object {max(used)} is "
                "in use, so a load could overwrite it"
            )

    def _read_objects(self, entry: HashSet) -> None:
        for number in entry.segments:
            if number not in self._contents.segments:
                header = self._try(read_segment, number)
                if header is not None:
                    self._contents.segments[number] = header
                    if header.number != number:
                        self._tell(f"the header of segment {number} says that it is segment {header.number}")
        for each in entry.tombstones:
            self._contents.tombstones.setdefault(each.number, each)

    def _try(self, read: Callable[[Any, int], Any], number: int) -> Any:
        try:
            return read(self._transaction, number)
        except StoreCorrupt as error:
            self._tell(str(error))
            return None

    def _pieces(self, what: str, number: int, name: str, spec: ColumnSpec) -> Column | None:
        """Compare a column's pieces with their checksums; return it, or None if it is damaged."""
        where = f"column {name} of {what} {number}"
        if not _is_shape(spec):
            self._tell(f"{where} has an inconsistent description")
            return None
        bases = np.zeros(len(spec.checksums), np.uint64)
        sound = True
        for piece, expected in enumerate(spec.checksums):
            length = min(spec.items - (piece << spec.shift), 1 << spec.shift) * spec.width
            stored = self._transaction.get(piece_key(number, name, piece))
            trouble = None
            if stored is None:
                trouble = "is missing"
            elif len(stored) != length:
                trouble = f"has {len(stored):,} bytes instead of {length:,}"
            else:
                view = np.frombuffer(stored, np.uint8)
                bases[piece] = view.ctypes.data
                if checksum(view) != expected:
                    trouble = "does not match its checksum"
            if trouble:
                self._tell(f"piece {piece} of {where} {trouble}")
                sound = False
            self._done.pieces += 1
            self._done.bytes += length
            self._on_progress(self._done.bytes, self._total)
        return Column(bases, spec.shift, spec.items, spec.width, self._transaction) if sound else None

    def _check_tombstones(self, each: Tombstones) -> None:
        dead = self._pieces("tombstones", each.number, "dead", each.rows)
        where = f"column dead of tombstones {each.number}"
        if dead is None:
            return
        if dead.width != 4:
            self._tell(f"{where} has items of {dead.width} bytes instead of 4")
            return
        at = first_descent(dead, strict=True)
        if at != FINE:
            self._tell(f"{where} is not ascending at item {at:,}")
            return
        segment = self._contents.segments.get(each.segment)
        last = int.from_bytes(dead.read(len(dead) - 1, 1), "little") if len(dead) else -1
        if segment is not None and last >= segment.rows:
            self._tell(f"{where} names row {last:,} of segment {each.segment}, which has {segment.rows:,} rows")

    def _check_that_filters_exist(self) -> None:
        current = self._contents.manifests.get(self._done.generation, Manifest(0, 0.0, "missing"))
        for name, entry in current.sets.items():
            for hash_type in entry.counts if entry.role == "match" else ():
                exact = hash_type in HASH_TYPES and HASH_TYPES[hash_type].rule is Rule.EXACT
                if exact and hash_type not in current.filters:
                    self._tell(
                        f"generation {current.generation} has no filter for the {hash_type} hashes of set {name!r}"
                    )

    def _check_filter(
        self, hash_type: str, number: int, header: Filter, sound: dict[tuple[int, str], Column]
    ) -> None:
        words = self._pieces("filter", number, "words", header.words)
        if words is None:
            return
        if words.width != 8:
            self._tell(f"column words of filter {number} has items of {words.width} bytes instead of 8")
            return
        current = self._contents.manifests[self._done.generation]
        needed = {each for entry in current.sets.values() if entry.role == "match" for each in entry.segments}
        for segment in sorted(needed):
            digests = sound.get((segment, hash_type))
            if digests is None or digests.width != HASH_TYPES[hash_type].width:
                continue
            missing = missing_digests(words, digests)
            if missing:
                self._tell(
                    f"filter {number} hides {missing:,} of the {len(digests):,} {hash_type} hashes of segment "
                    f"{segment}, so checks miss them"
                )

    def _check_set(self, where: str, entry: HashSet) -> None:
        if entry.role not in _ROLES:
            self._tell(f"{where} has the unknown role {entry.role!r}")
        if any(number not in self._contents.segments for number in entry.segments):
            return
        rows = {number: self._contents.segments[number].rows for number in entry.segments}
        for each in entry.tombstones:
            if each.segment not in rows:
                self._tell(
                    f"{where} has tombstones {each.number} for segment {each.segment}, which is not one of its own"
                )
                return
            rows[each.segment] -= each.rows.items
        counts: dict[str, int] = {}
        for number, live in rows.items():
            for hash_type in self._contents.segments[number].types:
                counts[hash_type] = counts.get(hash_type, 0) + live
        if sum(rows.values()) != entry.entries:
            self._tell(f"{where} says that it has {entry.entries:,} entries, but has {sum(rows.values()):,}")
        if {hash_type: count for hash_type, count in counts.items() if count} != entry.counts:
            self._tell(f"{where} counts its hashes differently from its segments")


def _is_shape(spec: ColumnSpec) -> bool:
    numbers = (spec.width, spec.items, spec.shift)
    if not all(isinstance(each, int) for each in numbers) or min(numbers) < 0 or spec.shift > _MOST_SHIFT:
        return False
    pieces = (spec.items + (1 << spec.shift) - 1) >> spec.shift
    return spec.width > 0 and len(spec.checksums) == pieces
