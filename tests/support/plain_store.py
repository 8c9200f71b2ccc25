"""The store as anyone would write it without caring for speed, and the way to compare the real one with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashcore import HASH_TYPES, Categories, HashColumn, Rows, Store, Strings, hash_type

EXACT = ("md5", "sha1", "sha256")


@dataclass(frozen=True)
class Item:
    """One row: its hashes by type, category and external id."""

    hashes: tuple[tuple[str, bytes], ...]
    category: str | None = None
    id: str | None = None


@dataclass
class PlainStore:
    """Sets of items by name, and which of them are known-good."""

    sets: dict[str, frozenset[Item]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    def copy(self) -> PlainStore:
        return PlainStore(dict(self.sets), dict(self.roles))

    def matches(self, kind: str, digest: bytes) -> set[tuple[str, str | None, str | None]]:
        good = {pair for name, items in self.sets.items() if self.roles[name] != "match"
                for item in items for pair in item.hashes}  # fmt: skip
        if (kind, digest) in good:
            return set()
        return {
            (name, item.category, item.id)
            for name, items in self.sets.items()
            if self.roles[name] == "match"
            for item in items
            if (kind, digest) in item.hashes and not good.intersection(item.hashes)
        }


def is_benign(item: Item) -> bool:
    return any(digest in HASH_TYPES[kind].benign for kind, digest in item.hashes)


def as_rows(items: list[Item]) -> Rows:
    """A block of rows with every column that some item has."""
    n = len(items)
    columns = {}
    for kind in EXACT:
        present = np.array([kind in dict(item.hashes) for item in items], np.bool_)
        if present.any():
            empty = bytes(hash_type(kind).width)
            joined = b"".join(dict(item.hashes).get(kind, empty) for item in items)
            digests = np.frombuffer(joined, np.uint8).reshape(n, -1)
            columns[kind] = HashColumn(digests, None if present.all() else present)
    names = sorted({item.category for item in items if item.category is not None})
    codes = np.array([-1 if item.category is None else names.index(item.category) for item in items], np.int32)
    categories = Categories(codes, names) if names else None
    ids = None
    if any(item.id for item in items):
        ids = Strings.of([(item.id or "").encode() for item in items])
    return Rows(np.arange(1, n + 1, dtype=np.int64), columns, categories, ids)


def blocks(items: list[Item], size: int = 3) -> Iterator[Rows]:
    for start in range(0, len(items), size):
        yield as_rows(items[start : start + size])


def answers(store: Store, kind: str, digests: NDArray[np.uint8]) -> list[set[tuple[str, str | None, str | None]]]:
    """What the real store answers, as the plain one does."""
    found: list[set[tuple[str, str | None, str | None]]] = [set() for _ in digests]
    with store.read() as snapshot:
        matches = snapshot.match(hash_type(kind), digests)
        for query, entry in zip(matches.queries.tolist(), snapshot.entries(matches), strict=True):
            found[query].add((entry.set, entry.category, entry.id))
    return found
