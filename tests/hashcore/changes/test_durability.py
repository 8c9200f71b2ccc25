"""What was published stays whole through kills, full disks, other writers and readers."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import lmdb
import numpy as np
import pytest
from store_processes import (
    ALONE,
    MD5,
    assert_holds,
    blocks,
    follow,
    hear,
    keep_correcting,
    keep_loading,
    load_once,
    one_digest,
    process,
)

from hashcore import HashColumn, Limits, Rows, Store, Strings
from hashcore.disk.layout import read_current, read_manifests
from hashcore.errors import StoreBusy, StoreFull

ROWS = 20_000
TINY = Limits(run_bytes=100_000, piece_bytes=1 << 14, keep_generations=2)
KILLS = 60


def left_behind(folder: Path) -> set[int]:
    """Objects that own something in the data file though no kept generation names them."""
    with lmdb.open(str(folder), readonly=True) as environment, environment.begin(buffers=True) as transaction:
        keys = [bytes(key) for key, _ in transaction.cursor()]
        kept = list(read_manifests(transaction))
        named = {number for manifest in kept for number in manifest.object_numbers()}
        named |= set(read_current(transaction).filters.values())
    return {int.from_bytes(key[1:9], "big") for key in keys if key[:1] in b"psf" and key != b"format"} - named


def test_kill_9_at_any_moment_leaves_what_was_published_last_whole(tmp_path: Path) -> None:
    chance = random.Random(11)
    folder = tmp_path / "data"
    next_state, last_told, unswept, loads = 1, 0, 0, 0
    sizes: list[int] = []
    known: set[int] = set()
    with Store(folder, limits=TINY) as store:
        store.load("known", blocks(0, ROWS), now=0.0)
    for turn in range(KILLS):
        with process(keep_loading, folder, next_state, ROWS, TINY, 1 << 20) as (child, told):
            assert hear(told) == ("open", 0)
            time.sleep(chance.choice([0.02, 0.1, 0.5]) * chance.random())  # the moment is the test
            child.kill()
            child.join()
            while told.poll():
                try:
                    last_told, _ = told.recv()
                except EOFError:
                    break
                loads += 1
        debris = left_behind(folder)
        unswept += bool(debris - known)
        known = debris
        with Store(folder, limits=TINY) as store:
            current = store.history()[-1]
            number = int(current.created)
            assert last_told <= number <= last_told + 1, "what a load has returned from is published"
            assert number < next_state + loads + 1
            assert assert_holds(store, number, ROWS, (number - 1, number + 1)) == current.generation
            if turn % 3 == 0:
                store.load("other", blocks(ALONE + turn, 10), now=float(number))
                assert not (folder / "scratch").exists()
        if turn % 3 == 0:
            known = left_behind(folder)
            assert known == set()
        last_told, next_state = number, number + 1
        sizes.append((folder / "data.mdb").stat().st_size)
    assert loads >= 10, "some loads came to their end"
    assert unswept > 3, "and some were killed in the middle"
    assert sizes[-1] <= 2 * max(sizes[: KILLS // 3]), "the file does not grow with every kill"


def test_kill_9_amid_appends_and_withdrawals_loses_none_of_them(tmp_path: Path) -> None:
    chance = random.Random(12)
    first = [
        Rows(np.arange(1), {"md5": HashColumn(one_digest(n))}, None, Strings.of([b"%d" % n])) for n in range(3)
    ]
    with Store(tmp_path, limits=TINY) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
        store.load("api", first, now=5.0)
    step, killed_at = 6, set()
    for _ in range(25):
        told_last = step - 1
        with process(keep_correcting, tmp_path, step, TINY) as (child, told):
            assert hear(told) == "open"
            time.sleep(0.3 * chance.random())  # the moment is the test
            child.kill()
            child.join()
            while told.poll():
                try:
                    told_last = told.recv()
                except EOFError:
                    break
        with Store(tmp_path, limits=TINY) as store:
            done = int(store.history()[-1].created)
            assert told_last <= done <= told_last + 1, "what a change has returned from is published"
            newest, oldest = done // 2, done // 2 - 3 + done % 2
            asked = np.concatenate([one_digest(number) for number in range(newest + 2)])
            with store.read() as snapshot:
                assert snapshot.match(MD5, asked).queries.tolist() == list(range(oldest, newest + 1))
                assert snapshot.manifest.sets["api"].entries == newest + 1 - oldest
            assert_holds(store, 1, ROWS)
        killed_at.add(done - told_last)
        step = done + 1
    assert step > 50, "some changes came to their end"
    assert 0 in killed_at


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


@pytest.mark.parametrize("run_bytes", [1 << 30, 1 << 20], ids=["in memory", "spilled"])
def test_a_load_that_does_not_fit_says_so_and_a_smaller_one_does(small_disk: Path, run_bytes: int) -> None:
    folder = small_disk / "data"
    limits = Limits(run_bytes=run_bytes, piece_bytes=1 << 16, keep_generations=1)
    with pytest.MonkeyPatch.context() as patch, Store(folder, limits=limits) as store:
        patch.setattr("hashcore.changes.runs._RUN_ROWS", 50_000)
        store.load("known", blocks(1, ROWS), now=1.0)
        for _ in range(2):
            with pytest.raises(
                StoreFull,
                match=f"no space left on the disk of {folder}.*; nothing was changed, and the space .* given back",
            ):
                store.load("known", blocks(2, 600_000, 50_000), now=2.0)
            assert assert_holds(store, 1, ROWS, (2,)) == 1
            assert not (folder / "scratch").exists()
        store.load("known", blocks(3, ROWS), now=3.0)
        assert assert_holds(store, 3, ROWS, (1, 2)) == 2
    with Store(folder) as store:
        assert assert_holds(store, 3, ROWS, (1, 2)) == 2
    assert left_behind(folder) == set()


def test_a_disk_without_a_single_free_byte_is_full_and_not_stuck(small_disk: Path) -> None:
    folder, ballast = small_disk / "data", small_disk / "ballast"
    with Store(folder, limits=Limits(keep_generations=1)) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
        (folder / "writer.lock").write_bytes(b"")
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        for _ in range(2):
            with pytest.raises(StoreFull, match="no space left on the disk"):
                store.load("known", blocks(2, ROWS), now=2.0, timeout=1.0)
            assert assert_holds(store, 1, ROWS, (2,)) == 1
        ballast.unlink()
        store.load("known", blocks(2, ROWS), now=2.0, timeout=1.0)
        assert assert_holds(store, 2, ROWS, (1,)) == 2


def test_a_second_writer_says_once_that_it_waits_and_then_does_its_part(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, first = stack.enter_context(process(load_once, tmp_path, "known", 1, ROWS, None))
        what, holder = hear(first)
        assert what == "holding"
        _, second = stack.enter_context(process(load_once, tmp_path, "other", 2, 50, None))
        what, sentence = hear(second)
        assert what == "wait"
        assert sentence == f"another process (pid {holder}) is changing this store; waiting for it to finish"
        assert not second.poll(0.3), "told once, and still waiting"
        first.send("go on")
        assert hear(first) == ("done", 1)
        assert hear(second)[0] == "holding"
        second.send("go on")
        assert hear(second) == ("done", 2)
    with Store(tmp_path) as store:
        assert assert_holds(store, 1, ROWS) == 2
        assert {name: each.entries for name, each in store.history()[-1].sets.items()} == {
            "known": ROWS,
            "other": 50,
        }


def test_a_writer_that_will_not_wait_is_told_who_is_writing(tmp_path: Path) -> None:
    with Store(tmp_path) as store, process(load_once, tmp_path, "known", 1, ROWS, None) as (_, first):
        _, holder = hear(first)
        for timeout in (0.0, 0.2):
            with pytest.raises(StoreBusy, match=rf"another process \(pid {holder}\) is changing this store"):
                store.load("other", blocks(2, 50), now=2.0, timeout=timeout)
        first.send("go on")
        assert hear(first) == ("done", 1)
        assert store.load("other", blocks(2, 50), now=2.0, timeout=10.0).generation == 2
        assert assert_holds(store, 1, ROWS) == 2


def test_the_lock_of_a_killed_writer_is_free_at_once(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with process(load_once, tmp_path, "known", 1, ROWS, None) as (writer, told):
            hear(told)
            writer.kill()
            writer.join()
            store.load("known", blocks(2, ROWS), now=2.0, timeout=0.0)
        assert assert_holds(store, 2, ROWS, (1,)) == 1


def test_readers_elsewhere_see_whole_generations_that_only_go_up(tmp_path: Path) -> None:
    """Generation n holds state n, so an answer that mixes two, or names another, is found out."""
    rows, last = 5_000, 40
    with Store(tmp_path, limits=Limits(piece_bytes=1 << 14, keep_generations=2)) as store:
        store.load("known", blocks(1, rows), now=1.0)
        with (
            process(follow, tmp_path, 1 << 30, rows) as (_, one),
            process(follow, tmp_path, 1 << 20, rows) as (_, two),
        ):
            assert hear(one) == hear(two) == "ready"
            for number in range(2, last + 1):
                assert store.load("known", blocks(number, rows), now=float(number)).generation == number
            for reader in (one, two):
                reader.send("enough")
                seen = hear(reader)
                assert seen == [(generation, generation) for generation, _ in seen]
                assert seen == sorted(set(seen))
                assert len(seen) > 3, "it looked on while they were published"
