"""Keeping the filters up to date with the sets: keep them, add to them in place, or rebuild them.

Building a filter reads every digest of a type, which takes a tenth of a second for ten million; one
appended entry changes one word. So a filter is kept as long as it holds everything it must and
little else, and a small append replaces only the pieces that its digests fall into.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.arrays.xxh64 import checksum
from hashcore.disk.layout import (
    ColumnSpec,
    Filter,
    HashSet,
    Manifest,
    Segment,
    open_column,
    piece_key,
    read_filter,
    read_segment,
)
from hashcore.disk.staging import ColumnWriter, Stage
from hashcore.exact.filters import build_filter, changed_pieces, has_room, with_digests, words_for
from hashcore.hashtypes import HASH_TYPES, Rule

_PIECE_BYTES = 256 << 10  # an append of one digest writes one piece; a check finds its piece in a table in cache
_FEWEST_WORDS = 1 << 10  # room for the first thousands of entries, so that they do not cause rebuilds
_MOST_IN_PLACE = 16 << 20  # bytes of pieces replaced in one commit; when more change, a whole filter is staged


@dataclass(slots=True)
class FilterPlan:
    """What a publish does to the filters.

    Args:
        numbers: the object number of each hash type's filter.
        headers: headers to write in the commit, by object number.
        pieces: key and bytes of the pieces to replace in the commit.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    headers: dict[int, Filter] = field(default_factory=dict)
    pieces: list[tuple[bytes, NDArray[np.uint8]]] = field(default_factory=list)

    @property
    def piece_bytes(self) -> int:
        """Bytes in all pieces to replace."""
        return sum(piece.nbytes for _, piece in self.pieces)


def plan_filters(
    stage: Stage, current: Manifest, sets: dict[str, HashSet], fresh: Iterable[Segment]
) -> FilterPlan:
    """Plan how the filter of every exact hash type comes to hold all sets that report matches.

    Args:
        stage: receives filters that are rebuilt; the fresh segments must have been flushed.
        current: the published generation, whose filters exist.
        sets: the sets of the next generation.
        fresh: segments that are not published yet.
    """
    plan = FilterPlan()
    numbers = {number for entry in sets.values() if entry.role == "match" for number in entry.segments}
    unpublished = {segment.number: segment for segment in fresh}
    with stage.environment.reading() as transaction:
        segments = [unpublished.get(number) or read_segment(transaction, number) for number in sorted(numbers)]
    for hash_type in HASH_TYPES.values():
        of_type = [segment for segment in segments if hash_type.name in segment.types]
        if hash_type.rule is Rule.EXACT and of_type:
            _plan_one(stage, plan, hash_type.name, current.filters.get(hash_type.name), of_type)
    return plan


def _plan_one(stage: Stage, plan: FilterPlan, hash_type: str, number: int | None, segments: list[Segment]) -> None:
    with stage.environment.reading() as transaction:
        words = None
        old = None if number is None else read_filter(transaction, number)
        if number is not None and old is not None and _may_stay(old, segments):
            added = [segment for segment in segments if segment.number not in old.segments]
            columns = _columns(transaction, hash_type, added)
            current = open_column(transaction, number, "words", old.words)
            changed = changed_pieces(current, columns)
            in_place = (len(changed) << old.words.shift) * 8 <= _MOST_IN_PLACE
            copies, inserted = with_digests(
                current, columns, changed if in_place else [*range(len(current.bases))]
            )
            digests = old.digests + inserted
            fits = has_room(len(current), digests)
            if fits and in_place:
                plan.numbers[hash_type] = number
                if added:
                    _replace(plan, number, old, copies, segments, digests)
                return
            words = np.concatenate(list(copies.values())) if fits else None
        if words is None:
            digests = sum(segment.rows for segment in segments)
            words = build_filter(_columns(transaction, hash_type, segments), words=_words(digests))
    # Outside the transaction, because staging may have to move the map.
    plan.numbers[hash_type] = stage.new_object()
    writer = ColumnWriter(stage, plan.numbers[hash_type], "words", 8, piece_bytes=_PIECE_BYTES)
    writer.append(words)
    names = [segment.number for segment in segments]
    plan.headers[plan.numbers[hash_type]] = Filter(writer.finish(), names, digests)


def _may_stay(old: Filter, segments: list[Segment]) -> bool:
    """Whether a filter may have room for what is new, and is not far too large for the rest."""
    live = sum(segment.rows for segment in segments)
    return has_room(old.words.items, max(old.digests, live)) and old.words.items <= 2 * _words(live)


def _words(digests: int) -> int:
    return max(_FEWEST_WORDS, words_for(digests))


def _columns(transaction: Any, hash_type: str, segments: list[Segment]) -> list[Column]:
    return [
        open_column(transaction, segment.number, hash_type, segment.columns[hash_type]) for segment in segments
    ]


def _replace(
    plan: FilterPlan,
    number: int,
    old: Filter,
    copies: dict[int, NDArray[np.uint64]],
    segments: list[Segment],
    digests: int,
) -> None:
    checksums = list(old.words.checksums)
    for piece, words in copies.items():
        stored = words.view(np.uint8)
        checksums[piece] = checksum(stored)
        plan.pieces.append((piece_key(number, "words", piece), stored))
    spec = ColumnSpec(old.words.width, old.words.items, old.words.shift, checksums)
    plan.headers[number] = Filter(spec, [segment.number for segment in segments], digests)
