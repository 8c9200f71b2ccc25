"""What the store promises when things go wrong: killed loads, full disks, two writers, maps that move."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest
from numpy.typing import NDArray

from hashcore import HashColumn, Limits, LoadOptions, Rows, Store, hash_type
from hashcore.errors import FormatMismatch, StoreBusy, StoreCorrupt, StoreError, StoreFull
from hashcore.layout import KEY_FORMAT

MD5 = hash_type("md5")
ROWS = 30_000


def digests(seed: int, n: int = ROWS) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), np.uint8)


def rows(seed: int, n: int = ROWS) -> Iterator[Rows]:
    known = digests(seed, n)
    for start in range(0, n, 10_000):
        part = known[start : start + 10_000]
        yield Rows(np.arange(len(part)), {"md5": HashColumn(part)})


def matched(store: Store, seed: int, n: int = ROWS) -> int:
    with store.read() as snapshot:
        return len(snapshot.match(MD5, digests(seed, n)))


# The process that is killed: it imports and compiles once, then forks a child for every turn. The child
# loads set after set, each with a seed of its own, and says which it is about to load.
ZYGOTE = """
import os, sys
from pathlib import Path
from hashcore import Limits, Store
sys.path.insert(0, {tests!r})
from test_promises import rows
with Store(Path({spare!r})) as store:
    store.load("warm", rows(1), now=0.0)
    store.load("warm", rows(2), now=0.0)
for line in sys.stdin:
    child = os.fork()
    if not child:
        seed = int(line)
        with Store(Path({folder!r}), limits=Limits(run_bytes=100_000, piece_bytes=1 << 16)) as store:
            while True:
                store.load("known", rows(seed), now=float(seed))
                seed += 1
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


def test_kill_9_at_any_moment_leaves_one_whole_generation(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    code = textwrap.dedent(ZYGOTE).format(
        tests=str(Path(__file__).parent), spare=str(tmp_path / "spare"), folder=str(folder)
    )
    with Store(folder) as store:
        store.load("known", rows(1000), now=1000.0)
    chance = random.Random(7)
    zygote = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    generations = set()
    try:
        for turn in range(60):
            zygote.stdin.write(f"{2000 + 100 * turn}\n")
            zygote.stdin.flush()
            child = int(zygote.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.25))
            os.kill(child, signal.SIGKILL)
            assert zygote.stdout.readline() == "gone\n"
            with Store(folder) as store:
                (manifest,) = store.history()[-1:]
                generations.add(manifest.generation)
                seed = int(manifest.sets["known"].loaded)
                assert matched(store, seed) == ROWS, "the published generation is whole"
                assert matched(store, seed + 1) == 0, "and nothing of the next is to be seen"
    finally:
        zygote.stdin.close()
        zygote.wait(30)
    assert len(generations) > 10, "some loads were finished, or nothing was tried"
    with Store(folder, limits=Limits(keep_generations=1)) as store:
        store.load("known", rows(5), now=5.0)
        store.load("known", rows(6), now=6.0)
        with lmdb_of(folder) as environment, environment.begin() as transaction:
            left = sum(key.startswith(b"s") for key, _ in transaction.cursor())
        assert left == 1, "what killed loads left behind is swept"
        assert not (folder / "scratch").exists()


def lmdb_of(folder: Path) -> lmdb.Environment:
    """The data file seen from outside; a copy, because an environment is opened once in a process."""
    copy = folder.with_name("copy")
    copy.mkdir(exist_ok=True)
    (copy / "data.mdb").write_bytes((folder / "data.mdb").read_bytes())
    return lmdb.open(str(copy), readonly=True, lock=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk takes root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_says_so_and_keeps_the_old_generation(small_disk: Path) -> None:
    with Store(small_disk / "data", limits=Limits(keep_generations=2)) as store:
        store.load("known", rows(1), now=1.0)
        for _ in range(3):
            with pytest.raises(StoreFull, match=r"no space left on the disk of .*nothing was changed"):
                store.load("known", rows(2, 1_000_000), now=2.0)
            assert matched(store, 1) == ROWS
        store.load("known", rows(3, 1000), now=3.0)
        assert matched(store, 3, 1000) == 1000
    with Store(small_disk / "data") as store:
        assert matched(store, 3, 1000) == 1000


def test_a_full_disk_while_runs_are_spilled_says_so_too(small_disk: Path) -> None:
    with Store(small_disk / "data", limits=Limits(run_bytes=1 << 20)) as store:
        store.load("known", rows(1), now=1.0)
        with pytest.raises(StoreFull, match="no space left"):
            store.load("known", rows(2, 4_000_000), now=2.0)
        assert matched(store, 1) == ROWS


def test_the_second_writer_waits_and_both_changes_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entered, told = threading.Event(), []

    def slowly() -> Iterator[Rows]:
        entered.set()
        while not told:
            time.sleep(0.01)
        yield from rows(1)

    with store:
        first = threading.Thread(target=store.load, args=("one", slowly()), kwargs={"now": 1.0})
        first.start()
        entered.wait()
        store.load("two", rows(2), now=2.0, on_wait=told.append)
        first.join()
        assert len(told) == 1
        assert f"pid {os.getpid()}" in told[0]
        assert matched(store, 1) == matched(store, 2) == ROWS
        assert store.history()[-1].generation == 2


def test_a_writer_that_will_not_wait_says_who_is_writing(tmp_path: Path) -> None:
    holding, done = threading.Event(), threading.Event()

    def held() -> Iterator[Rows]:
        holding.set()
        done.wait()
        yield from rows(1)

    with Store(tmp_path) as store:
        first = threading.Thread(target=store.load, args=("one", held()), kwargs={"now": 1.0})
        first.start()
        holding.wait()
        with pytest.raises(StoreBusy, match=f"pid {os.getpid()}"):
            store.load("two", rows(2), now=2.0, timeout=0.1)
        done.set()
        first.join()
        assert matched(store, 1) == ROWS


READER = """
import sys
import numpy as np
from pathlib import Path
from hashcore import Store
sys.path.insert(0, {tests!r})
from test_promises import matched, ROWS
store = Store(Path({folder!r}), map_size=1 << 20)
seen = set()
print("ready", flush=True)
while True:
    store.refresh()
    with store.read() as snapshot:
        loaded = int(snapshot.manifest.sets["known"].loaded)
        from hashcore import hash_type
        from test_promises import digests
        for seed in (loaded - 1, loaded, loaded + 1):
            found = len(snapshot.match(hash_type("md5"), digests(seed, ROWS)))
            assert found == (ROWS if seed == loaded else 0), (seed, loaded, found)
    seen.add(loaded)
    if loaded == {last}:
        break
print(len(seen), flush=True)
"""


def test_readers_in_other_processes_see_whole_generations_while_the_map_grows(tmp_path: Path) -> None:
    folder, last = tmp_path / "data", 112
    with Store(folder, map_size=1 << 20, limits=Limits(keep_generations=100)) as store:
        store.load("known", rows(100), now=100.0)
        code = READER.format(tests=str(Path(__file__).parent), folder=str(folder), last=last)
        readers = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        for seed in range(101, last + 1):
            store.load("known", rows(seed), now=float(seed))
        for reader in readers:
            out, _ = reader.communicate(timeout=60)
            assert reader.returncode == 0
            assert int(out) >= 2
        assert store.bytes_used > 4 << 20, "the map has grown several times"


def test_threads_go_on_checking_while_the_map_grows(tmp_path: Path) -> None:
    wrong, stop = [], threading.Event()
    with Store(tmp_path, map_size=1 << 20) as store:
        store.load("steady", rows(1), now=1.0)

        def check() -> None:
            while not stop.is_set():
                found = matched(store, 1)
                if found != ROWS:
                    wrong.append(found)

        threads = [threading.Thread(target=check) for _ in range(3)]
        for thread in threads:
            thread.start()
        for seed in range(2, 12):
            store.load("known", rows(seed), LoadOptions(append=True), now=float(seed))
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    with Store(tmp_path / "data") as store:
        store.load("known", rows(1), now=1.0)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def damage(folder: Path, change) -> None:
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        change(transaction)


def test_another_on_disk_format_is_refused_by_name(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("known", rows(1), now=1.0)
    damage(tmp_path, lambda transaction: transaction.put(KEY_FORMAT, b"99"))
    with pytest.raises(FormatMismatch, match="on-disk format 99, this program reads format 1"):
        Store(tmp_path)


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("known", rows(1), now=1.0)

    def drop(transaction: lmdb.Transaction) -> None:
        pieces = [key for key, _ in transaction.cursor() if key.startswith(b"p") and b"md5/" in key]
        transaction.delete(pieces[0])

    damage(tmp_path, drop)
    with pytest.raises(StoreCorrupt, match=r"piece 0 of column .*md5 of object .* is missing"):
        Store(tmp_path)


def test_a_file_in_place_of_the_store_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.mdb").write_bytes(b"this is no store" * 1000)
    with pytest.raises(StoreError, match="cannot open the store"):
        Store(tmp_path / "data")
