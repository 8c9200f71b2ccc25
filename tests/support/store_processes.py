"""Other processes that use a store, forked from one that has compiled everything beforehand."""

from __future__ import annotations

import functools
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from hashcore import HashColumn, Limits, LoadOptions, Rows, Store, hash_type, store
from hashcore.disk import environment
from hashcore.rows import Digests, Strings

MD5, SHA1 = hash_type("md5"), hash_type("sha1")
ALONE = 10_000
"""States from this number on share nothing with any other."""


def state(number: int, rows: int) -> dict[str, Digests]:
    """MD5s and SHA-1s of some rows; states of equal parity share their first rows, and no more."""
    own, common = np.random.default_rng(1000 + number), np.random.default_rng(number % 2)
    md5 = own.integers(0, 256, (rows, 16), np.uint8)
    sha1 = own.integers(0, 256, (rows, 20), np.uint8)
    shared = _shared(number, number, rows)
    md5[:shared] = common.integers(0, 256, (shared, 16), np.uint8)
    sha1[:shared] = common.integers(0, 256, (shared, 20), np.uint8)
    return {"md5": md5, "sha1": sha1}


def _shared(one: int, other: int, rows: int) -> int:
    return min(4096, rows // 4) if max(one, other) < ALONE and (one - other) % 2 == 0 else 0


def blocks(number: int, rows: int, size: int = 10_000) -> Iterator[Rows]:
    """The rows of a state, with ids."""
    hashes = state(number, rows)
    for start in range(0, rows, size):
        part = {hash_type: digests[start : start + size] for hash_type, digests in hashes.items()}
        n = len(part["md5"])
        has_sha1 = np.arange(start, start + n) % 2 == 0
        part["sha1"] = np.where(has_sha1[:, None], part["sha1"], np.uint8(0))
        columns = {"md5": HashColumn(part["md5"]), "sha1": HashColumn(part["sha1"], has_sha1)}
        ids = Strings.of([b"%d/%d" % (number % 2, row) for row in range(start, start + n)])
        yield Rows(np.arange(start + 1, start + n + 1, dtype=np.int64), columns, None, ids)


def assert_holds(store: Store, number: int, rows: int, others: tuple[int, ...] = ()) -> int:
    """Assert that the set "known" is that state to the last row, and of others only shared rows.

    Returns:
        The generation that answered.
    """
    hashes = state(number, rows)
    with store.read() as snapshot:
        found = snapshot.match(MD5, hashes["md5"])
        assert np.array_equal(found.queries, np.arange(rows)), f"{len(found)} of {rows} MD5s of state {number}"
        some = found.where(found.queries % max(1, rows // 64) == 0)
        named = [(entry.set, entry.id) for entry in snapshot.entries(some)]
        assert named == [("known", f"{number % 2}/{row}") for row in some.queries.tolist()]
        found = snapshot.match(SHA1, hashes["sha1"])
        assert np.array_equal(found.queries, np.arange(0, rows, 2)), f"{len(found)} SHA-1s of state {number}"
        for other in others:
            shared = _shared(number, other, rows)
            found = snapshot.match(MD5, state(other, rows)["md5"])
            assert np.array_equal(found.queries, np.arange(shared)), f"{len(found)} MD5s of state {other}"
        return snapshot.generation


def keep_loading(folder: Path, first: int, rows: int, limits: Limits, map_size: int, told: Connection) -> None:
    """Load state after state until killed, and tell of each when it has been published."""
    with Store(folder, map_size=map_size, limits=limits) as store:
        number = first
        told.send(("open", 0))
        while True:
            outcome = store.load("known", blocks(number, rows), now=float(number))
            told.send((number, outcome.generation))
            number += 1


def keep_punching(folder: Path, first: int, rows: int, limits: Limits, told: Connection) -> None:
    """Like `keep_loading`, and make a hole of every page as soon as nobody can see it."""
    environment.__dict__["_FEWEST_PUNCHED"] = 1
    store.__dict__["SMALL_CHANGE"] = -(1 << 40)
    keep_loading(folder, first, rows, limits, 1 << 30, told)


def hold_answers(folder: Path, number: int, rows: int, told: Connection) -> None:
    """Begin to read a state, and when told to, look it up to the last row as of that moment."""
    with Store(folder) as opened, opened.read():
        told.send("reading")
        told.recv()
        told.send(assert_holds(opened, number, rows))


def one_digest(number: int) -> Digests:
    """The MD5 of an entry that is added alone."""
    return np.random.default_rng(5000 + number).integers(0, 256, (1, 16), np.uint8)


def keep_correcting(folder: Path, first: int, limits: Limits, told: Connection) -> None:
    """Add entry n and withdraw entry n - 3, in turns, until killed; tell of each published step.

    Step 2n adds entry n, and step 2n + 1 withdraws entry n - 3.
    """
    with Store(folder, limits=limits) as store:
        step = first
        told.send("open")
        while True:
            number = step // 2
            if step % 2:
                store.withdraw("api", [str(number - 3)], now=float(step))
            else:
                row = Rows(
                    np.arange(1), {"md5": HashColumn(one_digest(number))}, None, Strings.of([b"%d" % number])
                )
                store.load("api", [row], LoadOptions(append=True), now=float(step))
            told.send(step)
            step += 1


def hold_environment(folder: Path, told: Connection) -> None:
    """Have the data file open, without reading anything, until told to end or killed."""
    with lmdb.open(str(folder), map_size=1 << 30, max_readers=1024):
        told.send(os.getpid())
        told.recv()


def hold_read(folder: Path, told: Connection) -> None:
    """Be inside `read()` until told to end or killed."""
    with Store(folder) as store, store.read():
        told.send(os.getpid())
        told.recv()


def ask_while_the_map_grows(folder: Path, told: Connection) -> None:
    """Ask for the history inside a read that delays the growth of the map; tell its length."""
    with Store(folder, map_size=1 << 20) as store:
        store.load("known", blocks(1, 100), now=1.0)
        arguments = ("other", blocks(2, 400_000, 100_000))
        load = threading.Thread(target=store.load, args=arguments, kwargs={"now": 2.0}, daemon=True)
        with store.read():
            load.start()
            while not store._environment._moving:
                if not load.is_alive():
                    told.send("the map did not grow")
                    return
            told.send("growing")
            told.send(len(store.history()))
        load.join()


def load_and_damage(folder: Path, told: Connection) -> None:
    """Publish a generation, and then lose one of its pieces."""
    with Store(folder) as store:
        store.load("known", blocks(2, 1000), now=2.0)
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        pieces = [key for key, _ in transaction.cursor() if key.startswith(b"p") and b"md5/" in key]
        transaction.delete(pieces[-1])
    told.send("damaged")


def follow(folder: Path, map_size: int, rows: int, told: Connection) -> None:
    """Refresh and check all the time until told to end; every answer must be one whole state.

    Tells which generations have answered, and the state that each held.
    """
    seen: list[tuple[int, int]] = []
    with Store(folder, map_size=map_size) as store:
        told.send("ready")
        while not told.poll():
            store.refresh()
            with store.read() as snapshot:
                generation, number = snapshot.generation, int(snapshot.manifest.sets["known"].loaded)
            if not seen or generation != seen[-1][0]:
                seen.append((generation, number))
            assert assert_holds(store, number, rows, (number - 1, number + 1)) == generation
        told.send(seen)


def load_once(folder: Path, name: str, number: int, rows: int, timeout: float | None, told: Connection) -> None:
    """Load a state into a set; tells of the wait, and then of the generation or the refusal."""
    with Store(folder) as store:
        try:
            outcome = store.load(
                name,
                _telling(told, blocks(number, rows)),
                now=float(number),
                timeout=timeout,
                on_wait=lambda sentence: told.send(("wait", sentence)),
            )
            told.send(("done", outcome.generation))
        except Exception as error:  # whatever it is, the test wants to see it
            told.send((type(error).__name__, str(error)))


def _telling(told: Connection, given: Iterator[Rows]) -> Iterator[Rows]:
    """The blocks, the first of them when the other side says so."""
    told.send(("holding", os.getpid()))
    told.recv()
    yield from given


@contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a function of this module in a process of its own; gone at the end, whatever happens."""
    mine, theirs = _context().Pipe()
    child = _context().Process(target=target, args=(*arguments, theirs))
    child.start()
    theirs.close()
    try:
        yield child, mine
    finally:
        child.kill()
        child.join()
        mine.close()


def hear(told: Connection, within: float = 60.0) -> Any:
    """The next thing that a process tells."""
    assert told.poll(within), f"nothing within {within} s"
    return told.recv()


@functools.cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["store_processes_warm", "pytest"])
    # The server of forks looks for modules along its own path, not along that of the tests.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before]))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def warm() -> None:
    """Compile, or load, all kernels; the store is closed again before anybody forks."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        for number in (1, 2, 3):
            store.load("known", blocks(number, 500), now=0.0)
        assert_holds(store, 3, 500, (2,))
        row = Rows(np.arange(1), {"md5": HashColumn(one_digest(0))}, None, Strings.of([b"0"]))
        for now in (1.0, 2.0):
            store.load("api", [row], LoadOptions(append=True), now=now)
            store.withdraw("api", ["0"], now=now)
