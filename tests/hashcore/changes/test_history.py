"""What a load published is kept by loads: single entries do not push it out."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_model import check, row, rows_of

from hashcore import Limits, LoadOptions, Store
from hashcore.changes.history import add_action, is_small, kept_generations, withdraw_action
from hashcore.disk.layout import Manifest

ENTRY = LoadOptions(append=True, renew=True)


def manifests(words: str, first: int = 1) -> list[Manifest]:
    """Generations made by loads (L) and by single entries (s)."""
    actions = {"L": "load police", "s": add_action(1, "police")}
    return [Manifest(number, 0.0, actions[word]) for number, word in enumerate(words, first)]


@pytest.mark.parametrize(
    ("words", "keep", "kept"),
    [
        ("LLLL", 2, {3, 4}),
        ("LLLL", 1, {4}),
        ("ssss", 2, {3, 4}),
        ("LLssss", 2, {1, 2, 5, 6}),
        ("sLssss", 2, {1, 2, 5, 6}),
        ("LsssLsss", 2, {1, 4, 5, 7, 8}),
        ("LsLsLsss", 2, {3, 4, 5, 7, 8}),
        ("Lsss", 1, {1, 4}),
        ("", 3, set()),
    ],
)
def test_loads_are_kept_with_what_they_replaced_and_the_newest_entries(
    words: str, keep: int, kept: set[int]
) -> None:
    assert kept_generations(manifests(words), keep) == kept


def test_the_words_for_single_entries_are_known_from_those_for_loads() -> None:
    assert is_small(add_action(1, "police"))
    assert is_small(withdraw_action(12_000, "load police"))
    others = ("load police", "load add 1 to police", "remove add", "rollback to 3", "add police", "empty")
    assert not any(map(is_small, others))


def test_a_load_can_be_undone_after_any_number_of_single_entries(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=3)) as store:
        store.load("police", [rows_of([row(n) for n in range(100)])], now=1.0)
        store.load("police", [rows_of([row(1000)])], now=2.0)  # the mistake
        for number in range(40):
            entry = rows_of([row(2000 + number, id=str(number))])
            store.load("police", [entry], ENTRY, now=3.0 + number)
            if number % 4 == 0:
                store.withdraw("police", [str(number)], now=3.5 + number)
        history = store.history()
        assert [each.generation for each in history][:2] == [1, 2]
        assert len(history) == 5, "two loads and the three newest others"
        store.rollback(1, now=99.0)
        assert len(check(store, "md5", [n.to_bytes(16, "little") for n in range(100)])) == 100
        assert [each.action for each in store.history()][-1] == "rollback to 1"
        assert store.verify(pytest.fail).problems == 0


def test_a_store_of_an_earlier_version_keeps_its_loads(tmp_path: Path) -> None:
    """It wrote "load" for single entries, too: those count as loads until they are gone."""
    with Store(tmp_path, limits=Limits(keep_generations=3)) as store:
        for number in range(5):
            store.load("police", [rows_of([row(number)])], LoadOptions(append=True), now=1.0 + number)
        for number in range(20):
            store.load("police", [rows_of([row(50 + number, id="a")])], ENTRY, now=9.0)
        assert [each.generation for each in store.history()] == [3, 4, 5, 23, 24, 25]
