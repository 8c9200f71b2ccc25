"""Compiling the kernels of a check before there is one."""

from __future__ import annotations

import numpy as np

from hashcore.columns import Column
from hashcore.filters import build_filter, candidates
from hashcore.gather import gather
from hashcore.hashtypes import HASH_TYPES, Rule
from hashcore.tables import Table, TableGroup


def warm_kernels() -> None:
    """Run the kernels behind `Snapshot.match` once on data in memory, so that they are compiled or loaded."""
    for kind in HASH_TYPES.values():
        if kind.rule is not Rule.EXACT:
            continue
        digests = np.zeros((1, kind.width), np.uint8)
        column = Column.of(digests)
        directory = Column.of(np.array([0, 1, 1], np.uint32))
        passed = candidates(digests, Column.of(build_filter([column])))
        found, _, rows = TableGroup.of(kind.width, [Table(column, directory, 1)]).search(digests, passed, 1)
        gather(column, rows[: len(found)])
