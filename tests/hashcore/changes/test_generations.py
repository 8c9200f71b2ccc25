"""Generations: how many are kept, what becomes of the space of others, and the way back to one."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from store_model import blocks_of, check, row, rows_of

from hashcore import Limits, Store
from hashcore.errors import UnknownGeneration


def test_as_many_generations_are_kept_as_asked_for_and_space_is_reused(tmp_path: Path) -> None:
    sizes = []
    with Store(tmp_path, limits=Limits(keep_generations=2)) as store:
        for now in range(1, 31):
            given = [row(now * 10_000 + n) for n in range(2000)]
            store.load("police", blocks_of(given, 2000), now=float(now))
            assert [each.generation for each in store.history()] == list(range(max(1, now - 1), now + 1))
            sizes.append(store.bytes_used)
    assert max(sizes[20:]) <= max(sizes[:10])


def test_keeping_fewer_generations_prunes_those_beyond(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for now in range(1, 7):
            store.load("police", [rows_of([row(now)])], now=float(now))
        assert len(store.history()) == 6
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        store.load("police", [rows_of([row(7)])], now=7.0)
        assert [each.generation for each in store.history()] == [7]
        with pytest.raises(UnknownGeneration, match="generation 6 is not kept; kept generations: 7"):
            store.rollback(6, now=8.0)
    with lmdb.open(str(tmp_path), readonly=True) as environment, environment.begin() as transaction:
        owners = {key[1:9] for key, _ in transaction.cursor() if key.startswith((b"p", b"s"))}
    assert len(owners) == 2, "a segment and its filter"


def test_a_removed_set_comes_back_by_rollback_with_all_its_entries(tmp_path: Path) -> None:
    given = [row(n, id=str(n), category="c") for n in range(500)]
    asked = [number.to_bytes(16, "little") for number in range(500)]
    with Store(tmp_path) as store:
        store.load("police", blocks_of(given, 100), now=1.0)
        before = check(store, "md5", asked)
        store.remove("police", now=2.0)
        assert check(store, "md5", asked) == {}
        store.rollback(1, now=3.0)
        assert check(store, "md5", asked) == before
        assert [each.action for each in store.history()] == ["load police", "remove police", "rollback to 1"]


@pytest.mark.parametrize("to", [0, 2, 10**6, 1 << 64, -1])
def test_a_generation_that_never_was_is_refused_with_those_that_are(tmp_path: Path, to: int) -> None:
    with Store(tmp_path) as store:
        store.load("police", [rows_of([row(1)])], now=1.0)
        with pytest.raises(UnknownGeneration, match=f"generation {to} is not kept; kept generations: 1$"):
            store.rollback(to, now=2.0)
