"""Folding the inbox: equal to a plain model whatever the slices; nothing lost or counted twice."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_rows import NOW, modelled, put, row, tables
from serving import eventually

from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.fold import fold, fold_slice
from hashserver.ledger.match_row import MatchRow
from hashserver.ledger.tables.entries import number_entries
from hashserver.ledger.tables.inbox import waiting

ROWS = st.builds(
    row,
    st.sampled_from(["r1", "r2"]),
    time=st.integers(NOW - 200_000_000, NOW + 200_000_000) | st.integers(NOW - 2, NOW + 2),
    party=st.integers(0, 2),
    hash_type=st.sampled_from(["md5", "pdq"]),
    distance=st.integers(0, 2),
    rank=st.integers(0, 2),
    set_name=st.sampled_from(["police", "other"]),
    key=st.sampled_from(["id:A-1", "id:A-2", "id:", "id:Ä'"]),
    category=st.none() | st.sampled_from(["", "baseline"]),
)


@given(
    batches=st.lists(st.lists(st.lists(ROWS, min_size=1, max_size=8), max_size=5), max_size=4),
    size=st.integers(1, 20),
    statement=st.integers(1, 8),
)
@settings(max_examples=80, deadline=None)
def test_whatever_the_slices_it_equals_a_plain_model(
    batches: list[list[list[MatchRow]]], size: int, statement: int
) -> None:
    rows = [each for commits in batches for commit in commits for each in commit]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashserver.ledger.fold.SLICE", size)
        patch.setattr("hashserver.ledger.tables.many.ROWS", statement)
        with Ledger(Path(folder), create=True) as ledger:
            for commits in batches:
                put(ledger, commits)
                assert waiting(ledger.connection) == sum(map(len, commits))
                assert fold(ledger) == sum(map(len, commits))
            assert fold(ledger) == 0
        assert tables(Path(folder)) == modelled(rows)


def test_an_entry_that_was_numbered_before_its_first_hit_was_folded_keeps_that_hit(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        put(ledger, [[row(time=NOW)]])
        with ledger.transaction() as connection:
            numbers = number_entries(connection, [row(time=NOW + 5)])
        fold(ledger)
        assert ledger.connection.execute("SELECT id, first_hit FROM entries").fetchall() == [
            (numbers["police", "id:A-1"], NOW)
        ]


def many(start: int, count: int) -> list[list[MatchRow]]:
    return [
        [row(f"r{number}", time=NOW + number, key=f"id:{number % 37}", party=number % 5)]
        for number in range(start, start + count)
    ]


def fold_without_end(folder: Path) -> None:
    import hashserver.ledger.fold as module

    module.SLICE = 7
    with Ledger(folder, create=True) as ledger:
        while True:
            fold_slice(ledger)


def test_killed_between_and_within_slices_it_loses_nothing(tmp_path: Path) -> None:
    context, chance = multiprocessing.get_context("fork"), random.Random(4)
    rows: list[MatchRow] = []
    halfway = 0
    for turn in range(12):
        more = many(turn * 1500, 1500)
        rows += [each for commit in more for each in commit]
        with Ledger(tmp_path, create=True) as ledger:
            put(ledger, more)
        process = context.Process(target=fold_without_end, args=(tmp_path,))
        process.start()
        with Ledger(tmp_path, create=True) as ledger:
            eventually(lambda ledger=ledger: waiting(ledger.connection) < 1500, 10)
            time.sleep(0.1 * chance.random())
            process.kill()
            process.join()
            halfway += 0 < waiting(ledger.connection) < 1500
            fold(ledger)
    assert halfway > 3, "some were killed in the middle"
    assert tables(tmp_path) == modelled(rows)


def test_two_who_fold_at_once_fold_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashserver.ledger.fold.SLICE", 10)
    folded: list[int] = []

    def run() -> None:
        with Ledger(tmp_path, create=True) as ledger:
            folded.append(fold(ledger))

    with Ledger(tmp_path, create=True) as ledger:
        put(ledger, many(0, 1000))
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(folded) == 1000
    assert tables(tmp_path) == modelled([each for commit in many(0, 1000) for each in commit])


def test_trouble_is_the_ledgers_own_error(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        ledger.connection.execute("DROP TABLE inbox")
        with pytest.raises(LedgerError, match="no such table"):
            fold_slice(ledger)
