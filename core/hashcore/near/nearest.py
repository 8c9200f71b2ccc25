"""Near-duplicate search: finds every code within a distance, through an index or by a scan.

Both are exact; only their costs decide which of them answers a query. A scan costs the same for any
codes. The index is far cheaper for small radii and codes that are spread out. But a query that has
a part in common with very many codes (the corner of a blank page) would be compared with nearly all
of them one by one, so a query that exceeds its budget of candidates is answered by a scan instead.
Byte vectors have no index.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.hashtypes import Rule
from hashcore.near import bytevector
from hashcore.near.hamming import (
    MOST_QUERIES,
    TooManyHits,
    collect_hits,
    first_look_words,
    hit_distances,
    hit_queries,
    hit_rows,
    pack_hit,
    scan,
)
from hashcore.near.multiindex import Geometry, chunk_parameters, flip_table, search_chunks
from hashcore.rows import Digests

FEWEST_INDEXED = 50_000
"""Fewer codes are not worth an index: scanning them for one query takes about 50 microseconds."""

_MOST_INDEX_BYTES = 100  # per code
_MOST_CHUNK_BITS = 28
_FEWEST_CHUNK_BITS = 8
# Nanoseconds per lookup and per candidate, fitted to searches of 50,000 to 10 million codes with 11
# to 16 chunks. They are waits for memory, which differ little between machines; the speed of a scan
# is measured where it runs.
_COSTS_IN_CACHE, _COSTS_IN_MEMORY = (8.0, 10.0), (20.0, 25.0)
_CACHE_BYTES = 32 << 20
_MOST_HITS = 1 << 23  # held at a time, if only the nearest few are asked for
_SPLIT = 16
# How much cheaper an index must look: codes are rarely spread as evenly as the estimate assumes.
_INDEX_ADVANTAGE = 1.5
_WIDTHS = {Rule.HAMMING: (8, 32), Rule.EUCLIDEAN: (bytevector.WIDTH,), Rule.EXACT: ()}


@dataclass(frozen=True, slots=True)
class NearMatches:
    """Codes within the distance of their query, sorted by query, then distance, then row.

    Args:
        queries: int64[m], the index of the query.
        rows: int64[m], the row of the code.
        distances: int32[m], the bits that differ, or the Euclidean distance rounded up.
    """

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rows)


_NOTHING = NearMatches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class PerceptualIndex:
    """A multi-index of the codes of one column.

    Args:
        geometry: how the codes are cut into chunks.
        parameters: uint64[m, 7] and bases: uint64[...], see
            `hashcore.near.multiindex.chunk_parameters`.
        owners: what keeps the addresses valid.
    """

    geometry: Geometry
    parameters: NDArray[np.uint64]
    bases: NDArray[np.uint64]
    owners: tuple[Column, ...]

    @classmethod
    def of(cls, geometry: Geometry, directories: Sequence[Column], postings: Sequence[Column]) -> PerceptualIndex:
        """Assemble an index of what `build_chunk` returned, in the order of the chunks."""
        parameters, bases = chunk_parameters(geometry, directories, postings)
        return cls(geometry, parameters, bases, (*directories, *postings))


def choose_geometry(width: int, codes: int, radius: int) -> Geometry | None:
    """The cheapest way to cut codes for searches, within 100 bytes of index per code.

    Args:
        width: bytes in a code, 8 or 32.
        codes: how many codes there are.
        radius: the usual radius; the index also serves any other.

    Returns:
        How to cut them; None if there are so few that scanning them is better.
    """
    if codes < FEWEST_INDEXED:
        return None
    bits = 8 * width
    choices = [Geometry(width, m) for m in range(-(-bits // _MOST_CHUNK_BITS), bits // _FEWEST_CHUNK_BITS + 1)]
    small = [choice for choice in choices if choice.index_bytes(codes) <= _MOST_INDEX_BYTES * codes]
    return min(small, key=lambda choice: _index_cost(choice, radius, codes), default=None)


def _access_costs(geometry: Geometry, codes: int) -> tuple[float, float]:
    in_cache = geometry.width * codes + geometry.index_bytes(codes) <= _CACHE_BYTES
    return _COSTS_IN_CACHE if in_cache else _COSTS_IN_MEMORY


@lru_cache(maxsize=1024)
def _index_cost(geometry: Geometry, radius: int, codes: int) -> float:
    """Nanoseconds per query if the codes are spread evenly."""
    lookup, candidate = _access_costs(geometry, codes)
    return lookup * geometry.lookups(radius) + candidate * geometry.candidates(radius, codes)


@lru_cache(maxsize=16)
def _scan_speed(width: int, words: int) -> tuple[float, float]:
    """Nanoseconds per comparison on this CPU, for one query and for very many.

    A vector popcount makes a CPU ten times faster, so the speed is measured, once per process and
    in a few milliseconds.
    """
    random = np.random.default_rng(0)
    codes, queries = (random.integers(0, 256, (n, width), np.uint8) for n in (1 << 14, 32))
    column = Column.of(codes)
    radii = np.full(len(queries), {1: 0, 2: 31, 3: 48}[words], np.uint32)

    def measure(count: int) -> float:
        which = np.arange(count, dtype=np.uint32)
        scan(column, queries, which, radii)
        elapsed = []
        for _ in range(3):
            start = time.perf_counter_ns()
            scan(column, queries, which, radii)
            elapsed.append(time.perf_counter_ns() - start)
        return min(elapsed) / (count * len(codes))

    return measure(1), measure(len(queries))


def measure_scan(width: int, radius: int) -> None:
    """Measure how fast this CPU scans now, rather than at the first search; a few milliseconds."""
    _scan_speed(width, first_look_words(width, radius))


def _scan_cost(width: int, radius: int, codes: int, queries: int) -> float:
    """Nanoseconds per query. Transposing the codes costs about as much as comparing two queries."""
    one, many = _scan_speed(width, first_look_words(width, radius))
    return codes * min(one, many + 2 * one / queries)


def _budgets(codes: Column, index: PerceptualIndex | None, radii: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """How many candidates each query may have before a scan is cheaper; 0 to scan right away."""
    budgets = np.zeros(len(radii), np.uint64)
    if index is None:
        return budgets
    for radius in np.unique(radii).tolist():
        budgets[radii == radius] = _budget(index.geometry, radius, len(codes), len(radii))
    return budgets


def _budget(geometry: Geometry, radius: int, codes: int, queries: int) -> int:
    scanning = _scan_cost(geometry.width, radius, codes, queries)
    if _INDEX_ADVANTAGE * _index_cost(geometry, radius, codes) >= scanning:
        return 0
    return int(scanning / _access_costs(geometry, codes)[1])


@lru_cache(maxsize=256)
def _one_query(
    geometry: Geometry | None, radius: int, codes: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64]]:
    """The arguments of `search_index` for a single query: which, radii, budgets."""
    budget = 0 if geometry is None else _budget(geometry, radius, codes, 1)
    which, radii = np.zeros(1 if budget else 0, np.uint32), np.array([radius], np.uint32)
    return which, radii, np.array([budget], np.uint64)


def search_index(
    codes: Column,
    index: PerceptualIndex,
    queries: Digests,
    which: NDArray[np.uint32],
    radii: NDArray[np.uint32],
    budgets: NDArray[np.uint64],
    most: int | None = None,
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Find every code within a distance of some queries through the index.

    Args:
        codes: the column that was indexed.
        index: its index.
        queries: uint8[nq, width].
        which: uint32[c], which of the queries to look for.
        radii: uint32[nq], the greatest distance for each query, in bits.
        budgets: uint64[nq], how many candidates each query may have.
        most: how many hits to hold, see `hashcore.near.hamming.collect_hits`.

    Returns:
        Packed hits, uint64[m], in no particular order; and uint32[...], the queries that exceeded
        their budgets, none of whose hits are included.
    """
    greatest = radii[which] if len(which) < len(radii) else radii
    masks, ends, first_masks = flip_table(index.geometry, int(greatest.max(initial=0)))
    shift = np.uint64(codes.shift)
    spent = np.zeros(len(queries), np.uint64)
    hits = collect_hits(
        lambda out: search_chunks(
            codes.bases, shift, index.bases, index.parameters, masks, ends, first_masks,
            queries, which, radii, budgets, spent, out,
        ),
        most,
    )  # fmt: skip
    over = np.flatnonzero(spent > budgets).astype(np.uint32)
    if len(over):
        hits = hits[~np.isin(hit_queries(hits), over)]
    return hits, over


def _find_hits(
    codes: Column,
    index: PerceptualIndex | None,
    queries: Digests,
    radii: NDArray[np.uint32],
    most: int | None,
    rule: Rule,
) -> NDArray[np.uint64]:
    if rule is Rule.EUCLIDEAN:
        hits = bytevector.scan(codes, queries, radii, most)
        hits.sort()
        return hits
    if len(queries) == 1:
        return _find_hits_of_one(codes, index, queries, int(radii[0]))
    budgets = _budgets(codes, index, radii)
    scanned = np.flatnonzero(budgets == 0).astype(np.uint32)
    parts = []
    if index is not None and len(scanned) < len(queries):
        indexed = np.flatnonzero(budgets).astype(np.uint32)
        hits, over = search_index(codes, index, queries, indexed, radii, budgets, most)
        parts.append(hits)
        scanned = np.concatenate([scanned, over])
    if len(scanned):
        parts.append(scan(codes, queries, scanned, radii, most))
    hits = np.concatenate(parts)
    hits.sort()
    return hits


def _find_hits_of_one(
    codes: Column, index: PerceptualIndex | None, query: Digests, radius: int
) -> NDArray[np.uint64]:
    """Like `_find_hits`, but quicker: servers often check single hashes, where overhead counts."""
    which, radii, budgets = _one_query(None if index is None else index.geometry, radius, len(codes))
    if index is not None and len(which):
        hits, over = search_index(codes, index, query, which, radii, budgets)
        if not len(over):
            hits.sort()
            return hits
    hits = scan(codes, query, np.zeros(1, np.uint32), radii)
    hits.sort()
    return hits


def _find_nearest(
    codes: Column,
    index: PerceptualIndex | None,
    queries: Digests,
    radii: NDArray[np.uint32],
    most: int | None,
    rule: Rule,
) -> NDArray[np.uint64]:
    """The nearest `most` hits of each query, sorted; in several parts if memory requires it."""
    n = len(queries)
    try:
        hits = _find_hits(codes, index, queries, radii, _MOST_HITS if most is not None and n > 1 else None, rule)
    except TooManyHits:
        step = -(-n // _SPLIT)
        parts = []
        for start in range(0, n, step):
            part = slice(start, start + step)
            found = _find_nearest(codes, index, queries[part], radii[part], most, rule)
            parts.append(found + pack_hit(np.uint64(start), np.uint64(0), np.uint64(0)))
        return np.concatenate(parts)
    if most is None or len(hits) <= most:
        return hits
    asked = hit_queries(hits)
    first = np.searchsorted(asked, asked)
    return hits[np.arange(len(hits)) - first < most]


def _limits(radii: int | NDArray[np.uint32], queries: int, bits: int, rule: Rule) -> NDArray[np.uint32]:
    """The greatest distance for each query, uint32[queries]; see `find_within`."""
    if isinstance(radii, int):
        least = greatest = radii
    else:
        if radii.shape != (queries,):
            raise ValueError(f"there must be one radius for each of {queries} queries, got {radii.shape}")
        least, greatest = int(radii.min(initial=0)), int(radii.max(initial=0))
    if least < 0:
        raise ValueError(f"a radius must be 0 or more, got {least}")
    if rule is Rule.EUCLIDEAN and greatest > bytevector.MOST_DISTANCE:
        raise ValueError(f"a radius must be {bytevector.MOST_DISTANCE} at most, got {greatest}")
    if isinstance(radii, int):
        return np.full(queries, min(radii, bits), np.uint32)
    return np.minimum(radii, bits).astype(np.uint32)


def find_within(
    codes: Column,
    index: PerceptualIndex | None,
    queries: Digests,
    radii: int | NDArray[np.uint32],
    most: int | None = None,
    *,
    rule: Rule = Rule.HAMMING,
) -> NearMatches:
    """Find every code within a distance of each query; none is missed.

    Args:
        codes: a column of fewer than 2**32 codes, of a width that fits the rule.
        index: the index over this column, or None to scan it.
        queries: uint8[nq, width].
        radii: the greatest distance, for all queries or for each, uint32[nq].
        most: how many codes to report for one query, the nearest first; None for all.
        rule: the kind of distance: Hamming (8 or 32 bytes), or Euclidean (144 bytes and radii of up
            to 255).

    Returns:
        The codes found.

    Raises:
        ValueError: the queries or radii do not have a shape that fits the codes, or a radius is out
            of range.
    """
    widths = _WIDTHS[rule]
    if codes.width not in widths:
        either = " or ".join(map(str, widths))
        raise ValueError(f"codes to search by {rule} distance must be {either} bytes wide, not {codes.width}")
    if queries.ndim != 2 or queries.shape[1] != codes.width:
        raise ValueError(f"queries must be rows of {codes.width} bytes like the codes, got {queries.shape}")
    limits = _limits(radii, len(queries), 8 * codes.width, rule)
    if not (queries.flags.c_contiguous and queries.flags.writeable and queries.dtype == np.uint8):
        # The kernels are compiled for writable arrays, and the body of a request is not writable.
        queries = np.require(queries, np.uint8, ["C", "W"])
    if not len(queries):
        return _NOTHING
    if len(queries) <= MOST_QUERIES:
        hits = _find_nearest(codes, index, queries, limits, most, rule)
        return NearMatches(hit_queries(hits), hit_rows(hits), hit_distances(hits)) if len(hits) else _NOTHING
    found = []
    for start in range(0, len(queries), MOST_QUERIES):
        part = slice(start, start + MOST_QUERIES)
        hits = _find_nearest(codes, index, queries[part], limits[part], most, rule)
        found.append((hit_queries(hits) + start, hit_rows(hits), hit_distances(hits)))
    return NearMatches(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
