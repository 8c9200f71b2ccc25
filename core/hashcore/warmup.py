"""Compiling the kernels of a check before the first check arrives."""

from __future__ import annotations

import numpy as np

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import gather
from hashcore.exact.filters import build_filter, candidates
from hashcore.exact.tables import Table, TableGroup
from hashcore.hashtypes import HASH_TYPES, HashType, Rule
from hashcore.near.bytevector import FEWEST_TRANSPOSED
from hashcore.near.multiindex import Geometry, build_chunk
from hashcore.near.nearest import PerceptualIndex, find_within, measure_scan, search_index
from hashcore.pictures.blank import are_blank
from hashcore.rows import Digests


def warm_kernels() -> None:
    """Run every kernel behind `Snapshot.match` once, so that it is compiled or read from the cache.

    Needs no store; takes seconds when nothing is cached.
    """
    for hash_type in HASH_TYPES.values():
        digests = np.zeros((1, hash_type.width), np.uint8)
        are_blank(hash_type, digests)
        if hash_type.rule is Rule.HAMMING:
            _warm_search(hash_type, np.zeros((256, hash_type.width), np.uint8))
            continue
        if hash_type.rule is Rule.EUCLIDEAN:
            codes = np.zeros((FEWEST_TRANSPOSED, hash_type.width), np.uint8)
            for queries in (codes[:1], codes):
                find_within(Column.of(codes), None, queries, hash_type.default_distance, 1, rule=hash_type.rule)
            continue
        column = Column.of(digests)
        directory = Column.of(np.array([0, 1, 1], np.uint32))
        passed = candidates(digests, Column.of(build_filter([column])))
        found, _, rows = TableGroup.of(hash_type.width, [Table(column, directory, 1)]).search(digests, passed, 1)
        gather(column, rows[: len(found)])


def _warm_search(hash_type: HashType, digests: Digests) -> None:
    codes = Column.of(digests)
    find_within(codes, None, digests[:8], hash_type.default_distance, 1)
    for radius in (0, hash_type.default_distance, hash_type.greatest_distance):
        measure_scan(hash_type.width, radius)
    geometry = Geometry(hash_type.width, hash_type.width)
    parts = [build_chunk(codes, geometry, chunk) for chunk in range(geometry.chunks)]
    directories, postings = ([Column.of(part[which]) for part in parts] for which in (0, 1))
    index = PerceptualIndex.of(geometry, directories, postings)
    search_index(
        codes, index, digests[:1], np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.full(1, 1 << 40, np.uint64)
    )
