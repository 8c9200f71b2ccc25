"""Compiling the kernels before the first request, once for all workers.

numba keeps compiled kernels on disk, keyed by source and CPU. Two processes that compile at the
same time may corrupt each other's index, so workers take turns: the first one compiles, the others
load.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hashserver.processes import make_own_folder


def warm_up(data_dir: Path) -> None:
    """Run every kernel that a check may need, on a little data, one worker at a time."""
    from hashcore import HASH_TYPES
    from hashcore.warmup import warm_kernels
    from hashserver.server.bodies import parse_body
    from hashserver.server.problems import RequestLimits

    with _turn(data_dir):
        warm_kernels()
        for hash_type in HASH_TYPES.values():
            text = b"0" * hash_type.hex_digits
            for content_type, body in (
                ("application/octet-stream", bytes(hash_type.width)),
                ("text/plain", text),
                ("application/json", b'{"%s":["%s"]}' % (hash_type.name.encode(), text)),
            ):
                parse_body(content_type, hash_type.name, bytearray(body), RequestLimits())


def warm_up_changes(is_ending: Callable[[], bool] = lambda: False) -> None:
    """Run every kernel that adding and withdrawing entries needs, on a small temporary store.

    Meant for a thread after the start: checks do not wait for it, and without a cache it takes
    seconds.

    Args:
        is_ending: called between the steps; once it returns True the rest is skipped, so that the
            server can end.
    """
    from hashcore import HASH_TYPES, Store
    from hashserver.ledger import Ledger
    from hashserver.parties import LOCAL
    from hashserver.sets.entries import Contribution, NewEntry, publish, withdraw

    hashes = {
        hash_type.name: [bytes((91 * place + at) % 256 for place in range(hash_type.width)) for at in range(3)]
        for hash_type in HASH_TYPES.values()
    }
    entries = [
        NewEntry(f"{at}", "c", {hash_type: some[at] for hash_type, some in hashes.items()}) for at in range(3)
    ]
    # Not the lock of `warm_up`, which would delay other workers that are starting.
    with (
        _turn(Path(__file__), is_ending),
        _own_folder() as folder,
        Store(folder) as store,
        Ledger(folder, create=True),
    ):
        for some in (entries[:1], entries[1:2], [replace(entries[0], category="d")], entries[2:]):
            if is_ending():
                return
            publish(store, LOCAL, Contribution("match", some))
        withdraw(store, LOCAL, "match", "1")
        store.refresh()


@contextmanager
def _own_folder() -> Iterator[Path]:
    folder = make_own_folder("hashserver-warm-up-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _turn(path: Path, is_ending: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Take turns with other processes; one that is ending does not wait for its turn."""
    lock = os.open(path, os.O_RDONLY)
    try:
        while not is_ending():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
        yield
    finally:
        os.close(lock)
