"""Filters hold what they must, whatever changes; a small append does not build them anew."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore import HashColumn, Limits, LoadOptions, Rows, Snapshot, Store, hash_type
from hashcore.arrays.columns import Column
from hashcore.disk.layout import read_filter
from hashcore.exact.filters import (
    BITS_PER_DIGEST,
    FEWEST_BITS_PER_DIGEST,
    build_filter,
    candidates,
    changed_pieces,
    has_room,
    insert_column,
    with_digests,
)

MD5 = hash_type("md5")
APPEND = LoadOptions(append=True)


def digests(n: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), np.uint8)


def block(known: NDArray[np.uint8]) -> list[Rows]:
    return [Rows(np.arange(len(known), dtype=np.int64), {"md5": HashColumn(known)})]


def passes(snapshot: Snapshot, asked: NDArray[np.uint8]) -> int:
    return len(candidates(asked, snapshot._filters["md5"]))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as opened:
        yield opened


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tells of every filter that is built."""
    seen: list[int] = []
    build: Callable[..., NDArray[np.uint64]] = build_filter

    def counting(columns: list[Column], *, words: int) -> NDArray[np.uint64]:
        seen.append(words)
        return build(columns, words=words)

    monkeypatch.setattr("hashcore.changes.filter_upkeep.build_filter", counting)
    return seen


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    before=st.integers(0, 300),
    after=st.integers(0, 100),
    words=st.integers(1, 100),
    shift=st.integers(0, 7),
)
def test_adding_to_copies_of_pieces_is_building_with_both(
    seed: int, before: int, after: int, words: int, shift: int
) -> None:
    known = digests(before + after, seed)
    old, new = Column.of(known[:before]), Column.of(known[before:])
    base = build_filter([old], words=words)
    kept = base.copy()
    addresses = [base[start:].ctypes.data for start in range(0, words, 1 << shift)]
    stored = Column(np.array(addresses, np.uint64), shift, words, 8, base)
    changed = changed_pieces(stored, [new])
    copies, inserted = with_digests(stored, [new], changed)
    assert np.array_equal(base, kept), "the filter itself is another generation's"
    joined = base.copy()
    for piece, copy in copies.items():
        assert not np.array_equal(joined[piece << shift : (piece + 1) << shift], copy)
        joined[piece << shift : (piece + 1) << shift] = copy
    assert np.array_equal(joined, build_filter([old, new], words=words))
    passed = len(candidates(known[before:], Column.of(kept)))
    assert after - passed >= inserted, "what passed before is not counted"
    assert insert_column(Column.of(joined), new) == 0


def test_a_small_append_replaces_a_piece_and_a_reader_of_before_sees_none_of_it(
    store: Store, builds: list[int]
) -> None:
    known, more = digests(200_000, 1), digests(20, 2)
    store.load("police", block(known), now=1.0)
    with store.read() as before, ThreadPoolExecutor(1) as other:
        number = before.manifest.filters["md5"]
        passed = passes(before, more)
        for one in more:
            other.submit(store.load, "api", block(one[None, :]), APPEND, now=2.0).result()
        assert passes(before, more) == passed < len(more)
        assert len(before.match(MD5, more)) == 0
    with store.read() as after:
        assert after.manifest.filters["md5"] == number
        assert after.match(MD5, more).queries.tolist() == list(range(20))
        assert len(after.match(MD5, known)) == len(known)
    assert len(builds) == 1


def test_a_filter_that_has_no_room_is_built_anew_and_passes_as_few_as_it_should(
    store: Store, builds: list[int]
) -> None:
    known, unknown = digests(40_000, 3), digests(100_000, 4)
    for start in range(0, len(known), 500):
        store.load(f"set {start // 10_000}", block(known[start : start + 500]), APPEND, now=1.0)
        with store.read() as snapshot:
            assert passes(snapshot, known[: start + 500]) == start + 500
            assert passes(snapshot, unknown) < 0.016 * len(unknown)
    assert 3 < len(builds) < 20, "of 80 appends"


def test_removing_and_coming_back_keep_a_filter_unless_it_is_much_too_large(
    store: Store, builds: list[int]
) -> None:
    known = digests(30_000, 5)
    store.load("large", block(known[:20_000]), now=1.0)
    store.load("small", block(known[20_000:24_000]), now=2.0)
    built = len(builds)
    store.remove("small", now=3.0)
    store.rollback(2, now=4.0)
    with store.read() as snapshot:
        assert len(snapshot.match(MD5, known)) == 24_000
    assert len(builds) == built
    store.remove("large", now=5.0)
    assert len(builds) == built + 1
    with store.read() as snapshot:
        assert passes(snapshot, known[:20_000]) < 500
        assert len(snapshot.match(MD5, known)) == 4000


def test_known_good_sets_that_become_match_sets_are_put_into_the_filter(store: Store) -> None:
    known = digests(5000, 6)
    store.load("police", block(known[:4900]), now=1.0)
    store.load("late", block(known[4900:]), LoadOptions(role="known-good"), now=2.0)
    store.change_role("late", "match", now=3.0)
    with store.read() as snapshot:
        assert len(snapshot.match(MD5, known)) == len(known)


def test_an_append_that_changes_most_pieces_stages_a_filter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashcore.changes.filter_upkeep._MOST_IN_PLACE", 1 << 13)
    known = digests(33_000, 7)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder), limits=Limits(piece_bytes=1 << 12)) as store:
        store.load("police", block(known[:30_000]), now=1.0)
        numbers = []
        for start, stop in ((30_000, 32_999), (32_999, 33_000)):
            store.load("api", block(known[start:stop]), APPEND, now=2.0)
            with store.read() as snapshot:
                numbers.append(snapshot.manifest.filters["md5"])
                assert len(snapshot.match(MD5, known[:stop])) == stop
                header = read_filter(snapshot._transaction, numbers[-1])
                assert 0.98 * stop < header.digests <= stop
        assert numbers[0] == numbers[1]


def test_the_room_of_a_filter_is_a_third_more_than_it_was_built_for() -> None:
    words = 1200 * BITS_PER_DIGEST // 64
    assert has_room(words, 1600)
    assert not has_room(words, 1601)
    assert FEWEST_BITS_PER_DIGEST == 12
