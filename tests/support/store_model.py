"""What a store must have and answer, in plain Python: sets are lists, generations are copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashcore import HASH_TYPES, Categories, HashColumn, LoadOptions, Rows, Store, Strings, Withdrawals
from hashcore import hash_type as look_up

EXACT = ("md5", "sha1", "sha256")

Row = Mapping[str, object]
"""One row of a block: digests under the names of their types, and "category" and "id" if any."""

Answer = tuple[int, str, str | None, str | None, int, float]
"""Index of the query, set, category, id, distance, when added."""


@dataclass(frozen=True)
class Known:
    """An entry: two rows that agree in all of this are the same."""

    hashes: tuple[tuple[str, bytes], ...]
    category: str | None
    id: str | None

    @classmethod
    def of(cls, row: Row, category: str | None) -> Known:
        hashes = tuple((hash_type, row[hash_type]) for hash_type in EXACT if hash_type in row)
        return cls(hashes, row.get("category") or category, row.get("id") or None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ModelSet:
    """A set: its role, and when each of its entries was added."""

    role: str
    entries: dict[Known, float]
    version: int


@dataclass(frozen=True)
class Change:
    """What a change is to report."""

    generation: int
    changed: bool
    entries: int
    added: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass
class Model:
    """A store that keeps so many generations: of loads and the like, and of withdrawals."""

    keep: int
    generation: int = 0
    small: set[int] = field(default_factory=set)
    sets: dict[str, ModelSet] = field(default_factory=dict)
    kept: dict[int, dict[str, ModelSet]] = field(default_factory=dict)
    versions: int = 0

    def load(
        self, name: str, rows: Sequence[Row], options: LoadOptions, now: float, withdrawn: Sequence[str] = ()
    ) -> Change:
        before = self.sets.get(name)
        role = options.role or (before.role if before else "match")
        taken = [row for row in rows if role == "known-good" or not is_benign(row)]
        withdrawn = [each for each in withdrawn if each]
        named = Counter(Known.of(row, options.category) for row in taken if row.get("id") not in withdrawn)
        old = before.entries if before else {}
        after = {entry: old.get(entry, now) for entry in named}
        if options.append:
            after = {**{known: when for known, when in old.items() if known.id not in withdrawn}, **after}
        added, gone = len(after.keys() - old.keys()), len(old.keys() - after.keys())
        changed = before is None or before.role != role or added + gone > 0
        if changed:
            self.versions += 1
            self._publish({**self.sets, name: ModelSet(role, after, self.versions)})
        return Change(
            self.generation,
            changed,
            len(after),
            added,
            len(named.keys() & old.keys()),
            gone,
            named.total() - len(named),
            len(rows) - len(taken),
        )

    def change_role(self, name: str, role: str) -> Change:
        before = self.sets[name]
        self.versions += 1
        self._publish({**self.sets, name: ModelSet(role, before.entries, self.versions)})
        return Change(self.generation, True, len(before.entries))

    def withdraw(self, name: str, ids: Sequence[str]) -> Change:
        before = self.sets[name]
        left = {known: when for known, when in before.entries.items() if not (known.id and known.id in ids)}
        self.versions += 1
        self.small.add(self.generation + 1)
        self._publish({**self.sets, name: ModelSet(before.role, left, self.versions)})
        return Change(self.generation, True, len(left), removed=len(before.entries) - len(left))

    def ids(self, name: str) -> set[str]:
        """The external ids that entries of a set have."""
        return {known.id for known in self.sets[name].entries if known.id}

    def remove(self, name: str) -> Change:
        gone = self.sets[name]
        self._publish({other: entry for other, entry in self.sets.items() if other != name})
        return Change(self.generation, True, 0, removed=len(gone.entries))

    def rollback(self, to: int) -> Change:
        changed = self.kept[to] != self.sets
        if changed:
            self._publish(self.kept[to])
        return Change(self.generation, changed, sum(len(each.entries) for each in self.sets.values()))

    def counts(self) -> dict[str, tuple[str, int, dict[str, int]]]:
        """Role, entries and hashes by type, of every set."""
        return {
            name: (
                each.role,
                len(each.entries),
                dict(Counter(hash_type for entry in each.entries for hash_type, _ in entry.hashes)),
            )
            for name, each in self.sets.items()
        }

    def check(
        self, hash_type: str, queries: Sequence[bytes], sets: frozenset[str] | None = None
    ) -> Counter[Answer]:
        """Every entry that has a hash, unless a known-good set has any hash of the entry."""
        good = {
            pair
            for each in self.sets.values()
            if each.role == "known-good"
            for entry in each.entries
            for pair in entry.hashes
        }
        return Counter(
            (index, name, entry.category, entry.id, 0, added)
            for index, query in enumerate(queries)
            for name, each in self.sets.items()
            if each.role == "match" and (sets is None or name in sets)
            for entry, added in each.entries.items()
            if (hash_type, query) in entry.hashes and good.isdisjoint(entry.hashes)
        )

    def _publish(self, sets: dict[str, ModelSet]) -> None:
        self.generation += 1
        self.sets = dict(sets)
        self.kept[self.generation] = self.sets
        loads = [number for number in self.kept if number not in self.small][-self.keep :]
        others = [number for number in self.kept if number in self.small][-self.keep :]
        undo = [number - 1 for number in loads[1:] if number - 1 in self.kept]
        if len(loads) < self.keep and loads and loads[0] - 1 in self.kept:
            undo.append(loads[0] - 1)
        self.kept = {number: self.kept[number] for number in sorted({*loads, *others, *undo})}


def is_benign(row: Row) -> bool:
    """Whether one of the hashes is that of the empty file."""
    return any(row.get(hash_type) in look_up(hash_type).benign for hash_type in EXACT)


def row(number: int, hash_type: str = "md5", **more: object) -> Row:
    """A row with one hash, of a number."""
    return {hash_type: number.to_bytes(look_up(hash_type).width, "little"), **more}


def rows_of(rows: Sequence[Row], first_line: int = 1) -> Rows:
    """A block with a column for whatever some row has."""
    columns = {}
    for hash_type in HASH_TYPES:
        if not any(hash_type in row for row in rows):
            continue
        present = np.array([hash_type in row for row in rows], np.bool_)
        nothing = bytes(look_up(hash_type).width)
        digests = packed(hash_type, [row.get(hash_type, nothing) for row in rows])  # type: ignore[misc]
        columns[hash_type] = HashColumn(digests, None if present.all() else present)
    categories = ids = None
    if any("category" in row for row in rows):
        names = sorted({str(row["category"]) for row in rows if row.get("category")})
        codes = [names.index(str(row["category"])) if row.get("category") else -1 for row in rows]
        categories = Categories(np.array(codes, np.int32), names)
    if any("id" in row for row in rows):
        ids = Strings.of([str(row.get("id") or "").encode() for row in rows])
    return Rows(np.arange(first_line, first_line + len(rows), dtype=np.int64), columns, categories, ids)


def blocks_of(rows: Sequence[Row], size: int) -> Iterator[Rows]:
    """Rows in blocks of a size, with the lines that they have in the whole."""
    for start in range(0, len(rows), size):
        yield rows_of(rows[start : start + size], start + 1)


def withdrawals_of(ids: Sequence[str]) -> Withdrawals:
    """A block of withdrawn ids."""
    return Withdrawals(np.arange(1, len(ids) + 1, dtype=np.int64), Strings.of([each.encode() for each in ids]))


def packed(hash_type: str, digests: Sequence[bytes]) -> NDArray[np.uint8]:
    """Digests as the store takes them."""
    return np.frombuffer(bytearray(b"".join(digests)), np.uint8).reshape(-1, look_up(hash_type).width)


def check(
    store: Store, hash_type: str, queries: Sequence[bytes], sets: frozenset[str] | None = None
) -> Counter[Answer]:
    """What a store answers; see `Model.check`."""
    with store.read() as snapshot:
        matches = snapshot.match(look_up(hash_type), packed(hash_type, queries), sets=sets)
        entries = snapshot.entries(matches)
        pairs = zip(matches.queries.tolist(), matches.distances.tolist(), entries, strict=True)
        return Counter(
            (query, entry.set, entry.category, entry.id, distance, entry.added) for query, distance, entry in pairs
        )


def counts(store: Store) -> dict[str, tuple[str, int, dict[str, int]]]:
    """What a store says of its sets; see `Model.counts`."""
    with store.read() as snapshot:
        sets = snapshot.manifest.sets
        return {name: (each.role, each.entries, each.counts) for name, each in sets.items()}
