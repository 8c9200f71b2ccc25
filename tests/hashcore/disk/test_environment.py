"""The folder and the map: the map grows and moves under readers, and refusals are sentences."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import numpy as np
import pytest
from store_processes import (
    ALONE,
    ask_while_the_map_grows,
    assert_holds,
    blocks,
    follow,
    hear,
    hold_environment,
    hold_read,
    keep_loading,
    load_and_damage,
    process,
)

from hashcore import Limits, LoadOptions, Rows, Store
from hashcore.errors import StoreCorrupt, StoreError

ROWS = 20_000
TINY_MAP = 1 << 20
GROWN_TWICE = 16 << 20  # the first change makes room for its records, so the first step is a large one


def test_a_store_outgrows_the_map_it_was_opened_with(tmp_path: Path) -> None:
    rows = 400_000
    with Store(tmp_path, map_size=TINY_MAP) as store:
        for number in range(1, 4):
            store.load(f"part {number}", blocks(ALONE + number, 3000), now=float(number))
        store.load("known", blocks(100, rows, 100_000), now=100.0)
        assert store.bytes_used > GROWN_TWICE
        assert assert_holds(store, 100, rows) == 4
    with Store(tmp_path, map_size=TINY_MAP) as store:
        assert assert_holds(store, 100, rows) == 4


def test_threads_get_right_answers_while_the_map_grows_under_them(tmp_path: Path) -> None:
    wrong: list[BaseException] = []
    answered = [0, 0]
    done = threading.Event()
    with Store(tmp_path, map_size=TINY_MAP) as store:
        store.load("known", blocks(0, 4000), now=1.0)

        def keep_checking(which: int) -> None:
            try:
                while not done.is_set():
                    assert_holds(store, 0, 4000, (1,))
                    answered[which] += 1
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=keep_checking, args=(which,)) for which in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 9):
                before = answered.copy()
                store.load("other", blocks(ALONE + number, ROWS), LoadOptions(append=True), now=1.0)
                while any(now <= then for now, then in zip(answered, before, strict=True)) and not wrong:
                    threading.Event().wait(0.001)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert wrong == []
        assert store.bytes_used > GROWN_TWICE


def test_readers_in_another_process_go_on_while_the_map_grows_here(tmp_path: Path) -> None:
    rows = 4000
    with Store(tmp_path, map_size=TINY_MAP, limits=Limits(keep_generations=100)) as store:
        store.load("known", blocks(1, rows), now=1.0)
        published = {(1, 1)}
        with process(follow, tmp_path, TINY_MAP, rows) as (_, told):
            assert hear(told) == "ready"
            for number in range(2, 10):
                grown = store.load(f"other {number}", blocks(ALONE + number, 60_000), now=1.0)
                moved = store.load("known", blocks(number, rows), now=float(number))
                published |= {(grown.generation, number - 1), (moved.generation, number)}
            told.send("enough")
            seen = hear(told)
        assert store.bytes_used > GROWN_TWICE
    assert seen == sorted(set(seen))
    assert set(seen) <= published
    assert len(seen) > 3, "it looked on while they were published"


@contextmanager
def grown_elsewhere(folder: Path, loads: int) -> Iterator[tuple[Store, int]]:
    """A store with a small map, and the last state that another process loaded, far beyond it."""
    limits = Limits(keep_generations=100)
    with Store(folder, map_size=TINY_MAP, limits=limits) as store:
        with process(keep_loading, folder, 1, ROWS, limits, TINY_MAP) as (_, told):
            assert hear(told) == ("open", 0)
            number = 0
            while number < loads:
                number, _ = hear(told)
        yield store, number


def test_a_map_that_another_process_has_grown_is_adopted_by_readers(tmp_path: Path) -> None:
    with grown_elsewhere(tmp_path, 6) as (store, number):
        store.refresh()
        with store.read() as snapshot:
            assert int(snapshot.manifest.created) in (number, number + 1)
            number = int(snapshot.manifest.created)
        assert_holds(store, number, ROWS, (number - 1, number + 1))
        assert len(store.history()) == number


def test_a_map_that_another_process_has_grown_is_adopted_by_writers(tmp_path: Path) -> None:
    with grown_elsewhere(tmp_path, 6) as (store, _):
        store.load("known", blocks(50, ROWS), now=50.0)
        assert_holds(store, 50, ROWS, (49, 48))


def test_a_map_that_another_process_has_grown_is_adopted_by_the_history(tmp_path: Path) -> None:
    with grown_elsewhere(tmp_path, 6) as (store, number):
        assert int(store.history()[-1].created) in (number, number + 1)


def test_refresh_says_that_it_moved_on_though_the_map_had_moved_too(tmp_path: Path) -> None:
    with grown_elsewhere(tmp_path, 6) as (store, _):
        with store.read() as snapshot:
            before = snapshot.generation
        moved = store.refresh()
        with store.read() as snapshot:
            assert moved == (snapshot.generation != before)
        assert not store.refresh()


def test_refresh_never_stays_behind_what_has_been_published(tmp_path: Path) -> None:
    """What the history shows before a refresh, the refresh must have reached after it."""
    rows, behind = 200, []
    with Store(tmp_path) as store, process(keep_loading, tmp_path, 1, rows, Limits(), 1 << 30) as (_, told):
        for _ in range(40):
            hear(told)
            while not told.poll():
                store.refresh()
            published = store.history()[-1:]
            store.refresh()
            with store.read() as snapshot:
                if published and snapshot.generation < published[0].generation:
                    behind.append(published[0].generation)
    assert behind == []


def test_the_history_can_be_asked_for_inside_a_read_while_the_map_grows(tmp_path: Path) -> None:
    """The load waits for the read to end, so the read must not wait for the load."""
    with process(ask_while_the_map_grows, tmp_path) as (_, told):
        assert hear(told) == "growing"
        assert hear(told, 3.0) == 1


@contextmanager
def opened(folder: Path) -> Iterator[lmdb.Environment]:
    """The data file as LMDB itself shows it; no store of this process may have it open."""
    with lmdb.open(str(folder), map_size=1 << 30, max_readers=1024) as environment:
        yield environment


def reader_pids(folder: Path) -> set[int]:
    with opened(folder) as environment:
        return {int(line.split()[0]) for line in environment.readers().splitlines()[1:]}


def test_slots_of_killed_readers_are_freed_when_a_store_is_opened(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("known", blocks(1, 100), now=1.0)
    with process(hold_read, tmp_path) as (_, alive):  # alone, LMDB would begin with a new table of slots
        keeps_it_open = hear(alive)
        killed = set()
        for _ in range(3):
            with process(hold_read, tmp_path) as (child, told):
                killed.add(hear(told))
                child.kill()
                child.join()
                assert killed & reader_pids(tmp_path), "the kill left a slot behind"
        with Store(tmp_path) as store:
            assert_holds(store, 1, 100)
        assert not killed & reader_pids(tmp_path)
        assert keeps_it_open in reader_pids(tmp_path), "and those of the living stay"


def test_space_is_reused_though_readers_were_killed(tmp_path: Path) -> None:
    limits = Limits(keep_generations=1)
    sizes = []
    with process(hold_environment, tmp_path) as (_, alive):
        hear(alive)
        for number in range(1, 16):
            with Store(tmp_path, limits=limits) as store:
                store.load("known", blocks(number, 5000), now=float(number))
                sizes.append(store.bytes_used)
            with process(hold_read, tmp_path) as (_, told):
                hear(told)
    assert max(sizes[8:]) <= 1.5 * max(sizes[:5])


def test_the_folder_and_all_in_it_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    modes: set[int] = set()

    def looking_on() -> Iterator[Rows]:
        for block in blocks(1, ROWS, 1000):
            modes.update(stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*"))
            yield block

    before = os.umask(0)
    try:
        with pytest.MonkeyPatch.context() as patch, Store(folder, limits=Limits(run_bytes=1)) as store:
            patch.setattr("hashcore.changes.runs._RUN_ROWS", 1000)
            store.load("known", looking_on(), now=1.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    directly = {stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}
    assert all(not mode & 0o077 for mode in directly)
    assert modes, "the folder keeps others out, whatever the spilled files in it say"


def test_a_folder_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with Store(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_damage_met_while_moving_on_leaves_the_generation_that_answers(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("known", blocks(1, 1000), now=1.0)
        with process(load_and_damage, tmp_path) as (_, told):
            hear(told)
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match="is missing"):
                store.refresh()
            assert assert_holds(store, 1, 1000) == 1


def test_a_file_that_is_no_store_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(np.random.default_rng(5).bytes(1 << 16))
    with pytest.raises(StoreError, match=f"cannot open the store in {tmp_path}: "):
        Store(tmp_path)


def test_opening_a_folder_twice_in_one_process_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("known", blocks(1, 100), now=1.0)
        with pytest.raises(StoreError, match=f"cannot open the store in {tmp_path}: "):
            Store(tmp_path)
        assert_holds(store, 1, 100)
