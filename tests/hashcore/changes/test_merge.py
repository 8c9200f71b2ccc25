from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hashcore import HashColumn, Limits, Rows, Store
from hashcore import hash_type as look_up
from hashcore.changes.merge import Tally


def test_a_set_of_many_spilled_runs_is_merged_whole(tmp_path: Path) -> None:
    """More rows than one slab and one run hold, replaced by a set that overlaps it by half."""
    source = np.random.default_rng(3)
    known = source.integers(0, 256, (360_000, 16), np.uint8)
    known[:120_000, :2] = 0  # a third of the rows in one group
    known[::7, 8:] = known[0, 8:]

    def blocks(part: slice) -> Iterator[Rows]:
        order = source.permutation(len(known[part]))
        mixed = np.concatenate([known[part][order], known[part][order[:5000]]])
        for start in range(0, len(mixed), 30_000):
            digests = np.ascontiguousarray(mixed[start : start + 30_000])
            yield Rows(np.arange(len(digests), dtype=np.int64), {"md5": HashColumn(digests)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashcore.changes.runs._RUN_ROWS", 50_000)
        with Store(tmp_path, limits=Limits(run_bytes=1 << 20, piece_bytes=1 << 14)) as store:
            first = store.load("police", blocks(slice(0, 240_000)), now=1.0)
            second = store.load("police", blocks(slice(120_000, 360_000)), now=2.0)
            assert (first.generation, first.entries) == (1, 240_000)
            assert first.tally == Tally(added=240_000, duplicates=5000)
            assert (second.generation, second.entries) == (2, 240_000)
            assert second.tally == Tally(added=120_000, unchanged=120_000, removed=120_000, duplicates=5000)
            with store.read() as snapshot:
                matches = snapshot.match(look_up("md5"), known)
                assert np.array_equal(matches.queries, np.arange(120_000, 360_000))
                added = [entry.added for entry in snapshot.entries(matches)]
            assert added == [1.0] * 120_000 + [2.0] * 120_000
