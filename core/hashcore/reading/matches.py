"""The matches of a batch, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Matches:
    """The m matches of a batch, sorted by query, distance and entry.

    Args:
        queries: int64[m], index of the matched digest in the batch.
        distances: int32[m], 0 for exact types.
        segments: int32[m], index of the entry's segment in the snapshot.
        rows: int64[m], row of the entry in its segment.
        truncated: queries that match more entries than are reported.
    """

    queries: NDArray[np.int64]
    distances: NDArray[np.int32]
    segments: NDArray[np.int32]
    rows: NDArray[np.int64]
    truncated: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.queries)

    def where(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches for which a mask, bool[m], is true."""
        return Matches(
            self.queries[keep], self.distances[keep], self.segments[keep], self.rows[keep], self.truncated
        )


NOTHING = Matches(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def more_than(queries: NDArray[np.int64], most: int) -> list[int]:
    """The queries that occur more than `most` times in int64[m]."""
    if len(queries) <= most:
        return []
    distinct, counts = np.unique(queries, return_counts=True)
    return [int(query) for query in distinct[counts > most]]


def join(parts: list[Matches], truncated: frozenset[int]) -> Matches:
    """Several groups of matches as one, in no particular order."""
    return Matches(
        np.concatenate([part.queries for part in parts]),
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.segments for part in parts]),
        np.concatenate([part.rows for part in parts]),
        truncated,
    )


def cap(matches: Matches, most: int) -> Matches:
    """Sort matches, keep the first `most` of each query, and name the queries that had more."""
    order = np.lexsort((matches.rows, matches.segments, matches.distances, matches.queries))
    queries = matches.queries[order]
    over = more_than(queries, most)
    if over:
        order = order[np.arange(len(order)) - np.searchsorted(queries, queries) < most]
    return Matches(
        matches.queries[order],
        matches.distances[order],
        matches.segments[order],
        matches.rows[order],
        matches.truncated | frozenset(over),
    )
