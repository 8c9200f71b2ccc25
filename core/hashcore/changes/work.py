"""The state of one change, which its steps share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hashcore.changes.batches import LabelBook
from hashcore.changes.merge import StoredRows, Tally
from hashcore.disk.layout import HashSet, Manifest, Segment, Tombstones
from hashcore.disk.staging import Stage
from hashcore.disk.tombstones import NONE_DEAD, DeadRows, write_tombstones
from hashcore.hashtypes import HASH_TYPES


@dataclass(slots=True)
class Work:
    """A change of one set, while it is made.

    Args:
        stage: receives new objects until they are published.
        current: the published generation, from which the change starts.
        old: the segments of the set in that generation, by object number.
        dead: their withdrawn rows, by object number of the segment.
        book: numbers the labels of stored and new rows.
        tally: what the change has done so far.
    """

    stage: Stage
    current: Manifest
    old: dict[int, Segment] = field(default_factory=dict)
    dead: dict[int, DeadRows] = field(default_factory=dict)
    book: LabelBook = field(default_factory=LabelBook)
    tally: Tally = field(default_factory=Tally)

    def live_rows(self, segment: Segment) -> int:
        """How many rows of a segment have not been withdrawn."""
        return segment.rows - len(self.dead.get(segment.number, NONE_DEAD))

    def stored(self, segment: Segment) -> StoredRows:
        """The rows of a segment that have not been withdrawn."""
        dead = self.dead.get(segment.number, NONE_DEAD)
        return StoredRows(self.stage.environment, segment, self.book, dead)

    def describe(self, entry: HashSet, segments: list[Segment]) -> HashSet:
        """Make a set hold the live rows of some segments; changed tombstones are staged."""
        before = {each.segment: each for each in self._tombstones_of(entry.name)}
        tombstones, counts = [], dict.fromkeys(HASH_TYPES, 0)
        live = [segment for segment in segments if self.live_rows(segment)]
        for segment in live:
            for hash_type in segment.types:
                counts[hash_type] += self.live_rows(segment)
            dead = self.dead.get(segment.number, NONE_DEAD)
            known = before.get(segment.number)
            if known is not None and known.rows.items == len(dead):
                tombstones.append(known)
            elif len(dead):
                tombstones.append(write_tombstones(self.stage, segment.number, dead))
        return replace(
            entry,
            segments=[segment.number for segment in live],
            counts={hash_type: count for hash_type, count in counts.items() if count},
            entries=sum(map(self.live_rows, live)),
            added=self.tally.added,
            removed=self.tally.removed,
            tombstones=tombstones,
        )

    def _tombstones_of(self, name: str) -> list[Tombstones]:
        return self.current.sets[name].tombstones if name in self.current.sets else []
