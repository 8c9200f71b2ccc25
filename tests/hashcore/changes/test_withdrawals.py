"""What is withdrawn does not match, wherever it lies; what lies behind it does."""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
import pytest
from store_model import check, row, rows_of, withdrawals_of

from hashcore import Limits, LoadOptions, Store
from hashcore import hash_type as look_up
from hashcore.errors import UnknownEntry

APPEND = LoadOptions(append=True)
MD5 = look_up("md5")


def asked(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "little") for number in numbers]


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


def test_near_duplicates_behind_withdrawn_ones_are_found(store: Store) -> None:
    digest = bytes(91 * place % 256 for place in range(32))
    near = [{"pdq": bytes([n]) + digest[1:], "id": str(n)} for n in range(8)]
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
