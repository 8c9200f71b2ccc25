"""Holes: the space of free pages goes back to the disk, and nothing that anybody can see."""

from __future__ import annotations

import os
import random
import time
from collections import namedtuple
from pathlib import Path

import lmdb
import pytest
from store_processes import assert_holds, blocks, hear, hold_answers, keep_punching, process

from hashcore import Limits, Store
from hashcore.disk.environment import Environment
from hashcore.disk.free_pages import find_free_pages, punch
from hashcore.errors import StoreFull

ROWS = 20_000
Disk = namedtuple("Disk", "total used free")
TINY = Limits(run_bytes=100_000, piece_bytes=1 << 14, keep_generations=2)
KILLS = 25


@pytest.fixture
def every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make holes of single pages, after every change."""
    monkeypatch.setattr("hashcore.disk.environment._FEWEST_PUNCHED", 1)
    monkeypatch.setattr("hashcore.store.SMALL_CHANGE", -(1 << 40))


def allocated(folder: Path) -> int:
    return (folder / "data.mdb").stat().st_blocks * 512


def test_a_failed_load_gives_back_what_it_took(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(run_bytes=1 << 20)) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
        store.load("known", blocks(3, ROWS), now=2.0)
        before = allocated(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hashcore.changes.publish.Publisher._publish", _no_space)
            with pytest.raises(ValueError, match="nothing left"):
                store.load("other", blocks(4, 400_000, 50_000), now=3.0)
        assert store.bytes_used > before + (12 << 20), "the file is as long as it was"
        assert allocated(tmp_path) < before + (4 << 20), "but most of it is a hole"
        assert_holds(store, 3, ROWS)
        assert store.verify(pytest.fail).problems == 0


def _no_space(*_: object) -> int:
    raise ValueError("nothing left")


def test_what_loads_replace_takes_no_space_for_ever(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        for number in range(1, 5):
            store.load("known", blocks(number, 300_000, 50_000), now=float(number))
            assert allocated(tmp_path) < 22 << 20, "of one generation: 12 MB"
        assert assert_holds(store, 4, 300_000) == 4


@pytest.mark.usefixtures("every_page")
def test_a_long_lived_reader_elsewhere_sees_all_that_it_saw_when_it_began(tmp_path: Path) -> None:
    with Store(tmp_path, limits=TINY) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
        with process(hold_answers, tmp_path, 1, ROWS) as (_, told):
            assert hear(told) == "reading"
            for number in range(2, 12):
                store.load("known", blocks(number, ROWS), now=float(number))
                assert_holds(store, number, ROWS)
            waiting = store._environment.give_back()
            assert waiting is not None
            assert waiting.waiting > 0, "pages that the reader may look at"
            told.send("look")
            assert hear(told) == 1
        store.load("known", blocks(12, ROWS), now=12.0)
        assert store.verify(pytest.fail).problems == 0


def test_kill_9_at_any_moment_finds_no_hole_in_what_was_published(tmp_path: Path) -> None:
    chance = random.Random(14)
    with Store(tmp_path, limits=TINY) as store:
        store.load("known", blocks(0, ROWS), now=0.0)
    number, loads = 0, 0
    for _ in range(KILLS):
        with process(keep_punching, tmp_path, number + 1, ROWS, TINY) as (child, told):
            assert hear(told) == ("open", 0)
            time.sleep(chance.choice([0.1, 0.6]) * chance.random())  # the moment is the test
            child.kill()
            child.join()
        with Store(tmp_path, limits=TINY) as store:
            loads += int(store.history()[-1].created) - number
            number = int(store.history()[-1].created)
            assert_holds(store, number, ROWS)
            assert store.verify(pytest.fail).problems == 0
    assert loads > 5


def pages_of_a_copy(folder: Path) -> int:
    """The slow twin: how many pages a store has in a copy without free ones."""
    (folder / "copied").mkdir()
    with lmdb.open(os.fspath(folder), readonly=True, lock=False) as environment:
        environment.copy(os.fspath(folder / "copied"), compact=True)
    with lmdb.open(os.fspath(folder / "copied"), readonly=True, lock=False) as environment:
        return int(environment.info()["last_pgno"]) + 1


def test_as_many_pages_are_free_as_a_compact_copy_leaves_out(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        for number in range(1, 6):
            store.load("known", blocks(number, 200_000, 50_000), now=float(number))
        transaction, last_page = store._environment.last_transaction(), store.bytes_used // 4096 - 1
    used = pages_of_a_copy(tmp_path)
    descriptor = os.open(tmp_path / "data.mdb", os.O_RDONLY)
    found = find_free_pages(descriptor, transaction, None)
    os.close(descriptor)
    assert found is not None
    free = len(found.idle) + found.waiting
    assert found.pages == last_page + 1
    # A compact copy has no free list; here its own tree takes a few pages.
    assert 0 <= found.pages - free - used <= 16


@pytest.mark.parametrize("damage", ["transaction", "magic", "short", "loop"])
def test_a_file_that_is_not_as_expected_gives_nothing_back(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        for number in range(1, 4):
            store.load("known", blocks(number, ROWS), now=float(number))
        transaction = store._environment.last_transaction()
    file = tmp_path / "data.mdb"
    content = bytearray(file.read_bytes())
    if damage == "magic":
        content[4096 + 16] ^= 1
    elif damage == "short":
        content = content[:5000]
    elif damage == "loop":  # both meta pages name a page of another kind as the list
        for meta in (0, 4096):
            content[meta + 80 : meta + 88] = (0).to_bytes(8, "little")
    other = tmp_path / "other"
    other.write_bytes(content)
    descriptor = os.open(other, os.O_RDONLY)
    assert find_free_pages(descriptor, transaction + (damage == "transaction"), None) is None
    os.close(descriptor)


def test_a_file_system_without_holes_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashcore.disk.environment.punch", lambda *_: False)
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        for number in range(1, 4):
            store.load("known", blocks(number, 100_000, 50_000), now=float(number))
        assert_holds(store, 3, 100_000)


def test_a_hole_keeps_the_size_and_reads_as_zeros(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (1 << 20))
    descriptor = os.open(file, os.O_RDWR)
    assert punch(descriptor, 4096, 1 << 19)
    assert not punch(descriptor, -1, 1)
    os.close(descriptor)
    assert file.stat().st_size == 1 << 20
    assert file.read_bytes()[4096 : 4096 + (1 << 19)] == bytes(1 << 19)


def test_the_reserve_stops_a_change_and_small_ones_may_use_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(tmp_path, reserve_bytes=100 << 20)
    for total, free, room, small, stops in [
        (10 << 30, 200 << 20, 100 << 20, False, False),
        (10 << 30, 200 << 20, 101 << 20, False, True),
        (10 << 30, 60 << 20, 1 << 20, True, False),
        (10 << 30, 60 << 20, 1 << 20, False, True),
        (10 << 30, 50 << 20, 1 << 20, True, True),
        (100 << 20, 6 << 20, 1 << 20, False, False),  # a small disk: a 20th of it
        (100 << 20, 6 << 20, 2 << 20, False, True),
    ]:
        disk = Disk(total, total - free, free)
        monkeypatch.setattr("shutil.disk_usage", lambda _, disk=disk: disk)
        if not stops:
            environment.check_space(room, small=small)
            continue
        with pytest.raises(StoreFull, match=r"MB are free, the change needs another .* MB stay reserved"):
            environment.check_space(room, small=small)
    environment.close()


def test_a_file_put_in_place_of_the_store_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(keep_generations=1)) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
        content = (tmp_path / "data.mdb").read_bytes()
        (tmp_path / "data.mdb").unlink()
        (tmp_path / "data.mdb").write_bytes(content)
        assert store._environment.give_back() is None
