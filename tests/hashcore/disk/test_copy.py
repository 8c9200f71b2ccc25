"""A copy of a store in use is a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_processes import assert_holds, blocks

from hashcore import Limits, LoadOptions, Store
from hashcore.errors import StoreError
from hashcore.verifying.verify import verify_copy


def test_a_copy_holds_what_was_published_and_not_what_came_after(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with Store(tmp_path / "here") as store:
        store.load("known", blocks(1, 2000), now=1.0)
        with store.read():
            store.copy_to(there)
        store.load("known", blocks(2, 2000), now=2.0)
        with pytest.raises(StoreError, match="already holds a store; nothing was copied"):
            store.copy_to(there)
    assert (there / "data.mdb").stat().st_size < (tmp_path / "here" / "data.mdb").stat().st_size
    with Store(there) as copy:
        assert assert_holds(copy, 1, 2000, (2,)) == 1
        assert copy.load("known", blocks(2, 2000), now=2.0).generation == 2


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / ".unfinished").symlink_to(tmp_path / "absent")
    with Store(tmp_path / "here") as store:
        store.load("known", blocks(1, 100), now=1.0)
        with pytest.raises(StoreError, match="cannot copy the store to"):
            store.copy_to(there)
    assert [each.name for each in there.iterdir()] == [".unfinished"]


def test_a_killed_copy_neither_looks_like_one_nor_is_in_the_way(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / ".unfinished").mkdir(parents=True)
    (there / ".unfinished" / "data.mdb").write_bytes(b"half")
    with Store(tmp_path / "here") as store:
        store.load("known", blocks(1, 100), now=1.0)
        store.copy_to(there)
    assert [each.name for each in there.iterdir()] == ["data.mdb"]
    with Store(there) as copy:
        assert_holds(copy, 1, 100)


def test_copies_made_while_sets_are_loaded_and_added_to_are_sound(tmp_path: Path) -> None:
    """Every copy is one generation, whole; what is staged for the next one does not spoil it."""
    with Store(tmp_path / "here", limits=Limits(piece_bytes=1 << 14, keep_generations=3)) as store:
        store.load("known", blocks(1, 4000), now=1.0)
        with ThreadPoolExecutor(1) as pool:
            changes = pool.submit(_change_often, store)
            copies = 0
            while not changes.done() or not copies:
                store.copy_to(tmp_path / f"copy-{copies}")
                copies += 1
            changes.result()
    generations = set()
    for number in range(copies):
        problems: list[str] = []
        generations.add(verify_copy(tmp_path / f"copy-{number}", problems.append).generation)
        assert problems == []
        assert [each.name for each in (tmp_path / f"copy-{number}").iterdir()] == ["data.mdb"]
    assert len(generations) > 1, "copies were made in the middle of changes"


def _change_often(store: Store) -> None:
    for number in range(2, 12):
        store.load("known", blocks(number, 4000, 500), now=float(number))
        store.load("more", blocks(number, 50), LoadOptions(append=True), now=float(number))
