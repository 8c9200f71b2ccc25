"""What is withdrawn does not match, wherever it lies; what lies behind it does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import check, row, rows_of, withdrawals_of

from hashcore import Limits, LoadOptions, Store, Strings
from hashcore import hash_type as look_up
from hashcore.disk.tombstones import are_dead
from hashcore.errors import UnknownEntry, UnknownSet
from hashcore.reading.wanted import Wanted

APPEND = LoadOptions(append=True)
MD5 = look_up("md5")


def asked(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "little") for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, limits=Limits(piece_bytes=64)) as opened:
        yield opened


@settings(max_examples=100, deadline=None)
@given(
    given=st.lists(st.text("ab", max_size=3), max_size=30),
    wanted=st.lists(st.text("ab", max_size=3), max_size=5),
    dead=st.sets(st.integers(0, 29)),
)
def test_ids_are_found_where_they_stand(given: list[str], wanted: list[str], dead: set[int]) -> None:
    ids = Wanted(each.encode() for each in wanted)
    rows = ids.rows(Strings.of([each.encode() for each in given]), np.array(sorted(dead), np.uint32))
    assert rows.tolist() == [
        index for index, each in enumerate(given) if each and each in wanted and index not in dead
    ]
    assert ids.found == {given[row].encode() for row in rows.tolist()}


@settings(max_examples=100, deadline=None)
@given(
    loads=st.lists(
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["", "a", "b"]), st.sampled_from(["md5", "pdq"]))),
        min_size=1,
        max_size=3,
    ),
    withdrawn=st.sets(st.sampled_from(["a", "b"]), max_size=1),
    ids=st.sets(st.sampled_from(["", "a", "b", "c"])),
    numbers=st.sets(st.integers(1, 7)),
    slab_rows=st.sampled_from([1 << 18, 2]),
)
def test_entries_are_counted_that_have_an_id_or_else_a_first_hash(
    loads: list[list[tuple[int, str, str]]],
    withdrawn: set[str],
    ids: set[str],
    numbers: set[int],
    slab_rows: int,
) -> None:
    entries = {each for load in loads for each in load}
    digests = [
        number.to_bytes(look_up(hash_type).width, "little") for number in numbers for hash_type in ("md5", "pdq")
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("hashcore.reading.wanted._SLAB_ROWS", slab_rows),
        Store(Path(folder), limits=Limits(piece_bytes=64)) as store,
    ):
        for now, load in enumerate(loads):
            rows = [
                {hash_type: number.to_bytes(look_up(hash_type).width, "little"), "id": id}
                for number, id, hash_type in load
            ]
            store.load("known", [rows_of(rows)] if rows else [], APPEND, now=float(now))
        if withdrawn & {id for _, id, _ in entries}:
            store.withdraw("known", sorted(withdrawn), now=9.0)
        with store.read() as snapshot:
            count = snapshot.count_entries("known", ids, digests)
            with pytest.raises(UnknownSet):
                snapshot.count_entries("unknown", ids, digests)
    left = [(number, id) for number, id, _ in entries if id not in withdrawn]
    assert count == sum(id in ids if id else number in numbers for number, id in left)


@given(dead=st.sets(st.integers(0, 50)), rows=st.lists(st.integers(0, 60)))
def test_rows_are_dead_that_are_in_the_list(dead: set[int], rows: list[int]) -> None:
    found = are_dead(np.array(sorted(dead), np.uint32), np.array(rows, np.int64))
    assert found.tolist() == [each in dead for each in rows]


@pytest.mark.parametrize("slab_rows", [1 << 18, 3])
def test_an_id_withdrawn_before_is_said_to_be_missing(
    store: Store, slab_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashcore.reading.wanted._SLAB_ROWS", slab_rows)
    store.load("known", [rows_of([row(n, id=f"a{n}") for n in range(10)])], now=1.0)
    assert store.withdraw("known", ["a2", "a7"], now=2.0).missing == ()
    outcome = store.withdraw("known", ["a7", "a8", "a2"], now=3.0)
    assert (outcome.missing, outcome.tally.removed, outcome.entries) == (("a7", "a2"), 1, 7)
    with pytest.raises(UnknownEntry, match="no entry with any of the 2 ids given: 'a2', 'a8'"):
        store.withdraw("known", ["a2", "a8"], now=4.0)
    with store.read() as snapshot:
        assert snapshot.find_all("known", ["a2", "a3", "a8"]).keys() == {"a3"}


def test_a_hash_listed_often_is_cut_to_the_entries_that_count(store: Store) -> None:
    store.load("a", [rows_of([row(1, id=f"a{n}") for n in range(5)])], now=1.0)
    store.load("b", [rows_of([row(1, id=f"b{n}") for n in range(3)])], now=2.0)
    digests = rows_of([row(1)]).hashes["md5"].digests
    store.withdraw("a", ["a0", "a1", "a4"], now=3.0)
    with store.read() as snapshot:
        for sets, most, found, truncated in (
            (None, 5, 5, set()),
            (None, 4, 4, {0}),
            (frozenset({"a"}), 2, 2, set()),
            (frozenset({"a"}), 1, 1, {0}),
            (frozenset({"b"}), 3, 3, set()),
            (frozenset({"c"}), 3, 0, set()),
        ):
            matches = snapshot.match(MD5, digests, most=most, sets=sets)
            assert (len(matches), matches.truncated) == (found, truncated), (sets, most)


@pytest.mark.parametrize("hash_type", ["md5", "pdq"])
def test_a_known_good_entry_that_is_withdrawn_vouches_for_nothing_but_its_twin_does(
    store: Store, hash_type: str
) -> None:
    digest = bytes(range(look_up(hash_type).width))
    store.load("known", [rows_of([{hash_type: digest, "id": "k"}])], now=1.0)
    twins = [{hash_type: digest, "id": each} for each in ("one", "two")]
    store.load("good", [rows_of(twins)], LoadOptions(role="known-good"), now=2.0)
    assert not check(store, hash_type, [digest])
    for each, matches in (("one", 0), ("two", 1)):
        store.withdraw("good", [each], now=3.0)
        assert check(store, hash_type, [digest]).total() == matches


def test_near_duplicates_behind_withdrawn_ones_are_found(store: Store) -> None:
    digest = bytes(32)
    near = [{"pdq": bytes([n]) + bytes(31), "id": str(n)} for n in range(8)]
    store.load("known", [rows_of(near)], now=1.0)
    store.withdraw("known", ["0", "1", "2", "4"], now=2.0)
    with store.read() as snapshot:
        matches = snapshot.match(look_up("pdq"), np.frombuffer(digest, np.uint8)[None, :], most=3)
        assert [entry.id for entry in snapshot.entries(matches)] == ["3", "5", "6"]
        assert matches.truncated == {0}


def test_an_entry_that_is_loaded_again_matches_again_and_a_merge_drops_the_tombstones(store: Store) -> None:
    store.load("known", [rows_of([row(n, id=str(n)) for n in range(50)])], now=1.0)
    store.withdraw("known", ["7", "8"], now=2.0)
    assert not check(store, "md5", asked(7, 8))
    outcome = store.load("known", [rows_of([row(7, id="7")])], APPEND, now=3.0)
    assert (outcome.tally.added, outcome.entries) == (1, 49)
    assert check(store, "md5", asked(7, 8)).total() == 1
    assert store.history()[-1].sets["known"].tombstones
    outcome = store.load("known", [rows_of([row(n, id=str(n)) for n in range(100, 150)])], APPEND, now=4.0)
    known = store.history()[-1].sets["known"]
    assert (outcome.entries, known.tombstones, len(known.segments)) == (99, [], 1)
    store.rollback(1, now=5.0)
    assert check(store, "md5", asked(7, 8)).total() == 2


def test_a_load_withdraws_in_the_commit_that_adds(store: Store) -> None:
    store.load("known", [rows_of([row(n, id=str(n)) for n in range(5)])], now=1.0)
    blocks = [rows_of([row(10, id="10"), row(11, id="11")]), withdrawals_of(["1", "2", "11", "absent", ""])]
    outcome = store.load("known", blocks, APPEND, now=2.0)
    assert (outcome.generation, outcome.entries) == (2, 4)
    assert (outcome.tally.added, outcome.tally.removed) == (1, 2)
    outcome = store.load("known", [withdrawals_of(["absent"])], APPEND, now=3.0)
    assert not outcome.changed
    assert check(store, "md5", asked(0, 1, 2, 3, 4, 10, 11)).total() == 4


def test_what_an_entry_holds_can_be_looked_up_until_it_is_withdrawn(store: Store) -> None:
    hashes = {"md5": bytes(range(16)), "pdq": bytes(range(32))}
    store.load("known", [rows_of([{**hashes, "id": "A-1", "category": "baseline"}, row(5, id="A-2")])], now=1.0)
    with store.read() as snapshot:
        (found,) = snapshot.find("known", "A-1")
        assert (found.hashes, found.category, found.added) == (hashes, "baseline", 1.0)
        assert snapshot.find("known", "A-3") == snapshot.find("known", "") == []
        with pytest.raises(UnknownSet, match="no set named 'other'"):
            snapshot.find("other", "A-1")
    store.withdraw("known", ["A-1"], now=2.0)
    with store.read() as snapshot:
        assert snapshot.find("known", "A-1") == []


def test_tombstones_that_no_generation_names_are_deleted(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        store.load("known", [rows_of([row(n, id=str(n)) for n in range(20)])], now=1.0)
        for n in range(10):
            store.withdraw("known", [str(n)], now=2.0)
        numbers = store.history()[-1].object_numbers() | set(store.history()[-1].filters.values())
    with lmdb.open(str(tmp_path), readonly=True) as environment, environment.begin() as transaction:
        owners = {int.from_bytes(key[1:9], "big") for key, _ in transaction.cursor() if key[:1] == b"p"}
    assert owners == numbers


@pytest.mark.parametrize("old", [1, 40])
def test_rows_of_a_renewing_load_take_the_place_of_entries_with_their_ids(store: Store, old: int) -> None:
    store.load("a", [rows_of([row(n, id=f"a{n}") for n in range(old)])], now=1.0)
    blocks = [withdrawals_of(["a0"]), rows_of([row(100, id="a0")])]
    outcome = store.load("a", blocks, LoadOptions(append=True, renew=True), now=2.0)
    assert (outcome.tally.added, outcome.tally.removed, outcome.entries) == (1, 1, old)
    with store.read() as snapshot:
        found = snapshot.find_all("a", ["a0", f"a{old - 1}", "b"])
    assert [each.hashes["md5"] for each in found["a0"]] == asked(100)
    assert found.keys() == {"a0", f"a{old - 1}"}
