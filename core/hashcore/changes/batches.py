"""Batches: rows of one shape on their way into a segment, with numbered labels and tags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import gather, gather_strings
from hashcore.arrays.xxh64 import mix_items, mix_strings
from hashcore.disk.layout import Label
from hashcore.errors import StoreError
from hashcore.rows import Digests, Strings

MOST_LABELS = 1 << 16
"""The most distinct labels that the rows of a load may have."""

Shape = tuple[str, ...]
"""The hash types that all rows of a batch have, the primary one first."""


@dataclass(frozen=True, slots=True)
class Batch:
    """n rows of one shape.

    Args:
        digests: uint8[n, width] by type, primary type first.
        labels: int32[n], numbers in the load's `LabelBook`.
        tags: uint64[n], XXH64 over category, other digests and external id; rows with equal primary
            digests and equal tags are the same entry.
        ids: external ids, empty for rows without one; None if no row has one.
    """

    digests: dict[str, Digests]
    labels: NDArray[np.int32]
    tags: NDArray[np.uint64]
    ids: Strings | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def primary(self) -> Digests:
        """The digests of the primary type, uint8[n, width]."""
        return next(iter(self.digests.values()))

    def take(self, rows: NDArray[np.uint32]) -> Batch:
        """Copy the rows with these numbers, in this order."""
        return Batch(
            {name: gather(Column.of(column), rows) for name, column in self.digests.items()},
            gather(Column.of(self.labels), rows).view(np.int32).ravel(),
            gather(Column.of(self.tags), rows).view(np.uint64).ravel(),
            None if self.ids is None else gather_strings(self.ids, rows),
        )

    def slice(self, start: int, stop: int) -> Batch:
        """View rows start..stop without copying them."""
        digests = {name: column[start:stop] for name, column in self.digests.items()}
        ids = None
        if self.ids is not None:
            offsets = self.ids.offsets[start : stop + 1]
            ids = Strings(self.ids.data[offsets[0] : offsets[-1]], offsets - offsets[0])
        return Batch(digests, self.labels[start:stop], self.tags[start:stop], ids)


def _join_ids(batches: list[Batch]) -> Strings | None:
    if all(batch.ids is None for batch in batches):
        return None
    each = [batch.ids or Strings.of([b""] * len(batch)) for batch in batches]
    totals = np.cumsum([0] + [len(ids.data) for ids in each])
    offsets = [ids.offsets[:-1] + start for ids, start in zip(each, totals[:-1], strict=True)]
    return Strings(np.concatenate([ids.data for ids in each]), np.concatenate([*offsets, totals[-1:]]))


def concatenate(batches: list[Batch]) -> Batch:
    """Join batches of one shape, in order."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        {name: np.concatenate([batch.digests[name] for batch in batches]) for name in batches[0].digests},
        np.concatenate([batch.labels for batch in batches]),
        np.concatenate([batch.tags for batch in batches]),
        _join_ids(batches),
    )


class LabelBook:
    """Numbers the labels of a load, of stored rows as well as of new ones."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self._numbers: dict[Label, int] = {}

    def number(self, label: Label) -> int:
        """The number of a label; a label that has none yet gets the next one.

        Raises:
            StoreError: there are more than `MOST_LABELS` distinct labels.
        """
        if label not in self._numbers:
            if len(self.labels) >= MOST_LABELS:
                raise StoreError(
                    f"more than {MOST_LABELS:,} distinct categories; is the category column really the id?"
                )
            self._numbers[label] = len(self.labels)
            self.labels.append(label)
        return self._numbers[label]

    def seeds(self) -> NDArray[np.uint64]:
        """What the category of each label contributes to the tag of a row, uint64[labels]."""
        return np.array([_category_seed(label.category) for label in self.labels], np.uint64)


def _category_seed(category: str | None) -> int:
    if category is None:
        return 0
    return int.from_bytes(hashlib.blake2b(category.encode(), digest_size=8).digest(), "little") | 1


def make_tags(
    seeds: NDArray[np.uint64], labels: NDArray[np.int32], digests: dict[str, Digests], ids: Strings | None
) -> NDArray[np.uint64]:
    """The tags of some rows, uint64[n]; see `Batch`."""
    tags = seeds[labels]
    for column in list(digests.values())[1:]:
        mix_items(tags, np.ascontiguousarray(column))
    if ids is not None:
        mix_strings(tags, ids.data, ids.offsets)
    return tags
