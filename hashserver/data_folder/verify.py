"""Verifying a data folder or a backup: its files, its store and its ledger.

The store is gone through in a process of its own: a file that is cut short, or whose inner pages
lead astray, ends a process that reads it through a map, and that is a finding, too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hashserver.data_folder.backup import MANIFEST, STORE_FILE, BackupRefused, problems_of_files
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.verify import verify_ledger
from hashserver.parties.keys import SECRET_FILE


@dataclass(slots=True)
class Found:
    """What was gone through, and what is wrong with it."""

    problems: list[str] = field(default_factory=list)
    store: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def verify_folder(folder: Path, on_progress: Callable[[str, int, int], None]) -> Found:
    """Verify everything in a folder.

    Raises:
        BackupRefused: there is neither a store nor a backup in it.
        BackupError: the backup's manifest cannot be read.
    """
    backup = (folder / MANIFEST).is_file()
    if not backup and not (folder / STORE_FILE).is_file():
        raise BackupRefused(f"there is neither a store nor a backup in {folder}; name the folder of one")
    found = Found(problems_of_files(folder, on_progress) if backup else [])
    # The ledger first: while a server runs, the store may only be newer than what was hit.
    if (folder / LEDGER_FILE).is_file():
        newest: list[int] = []
        found.ledger = verify_ledger(folder, found.problems.append, copy=backup, newest=newest)
        if found.ledger.get("keys") and not (folder / SECRET_FILE).is_file():
            found.problems.append(f"{folder / SECRET_FILE} is missing, so the keys of all parties are of no use")
    else:
        newest = []
    if (folder / STORE_FILE).is_file():
        _verify_store(folder, backup, found, on_progress)
        if newest and "generation" in found.store and newest[0] > found.store["generation"]:
            found.problems.append(
                f"the ledger has hits of generation {newest[0]}, and the store is at {found.store['generation']}"
            )
    return found


def _verify_store(folder: Path, backup: bool, found: Found, on_progress: Callable[[str, int, int], None]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_verify_apart, args=(folder, backup, theirs), daemon=True)
    process.start()
    theirs.close()
    while True:
        try:
            kind, value = ours.recv()
        except EOFError:
            process.join()
            found.problems.append(
                f"{folder / STORE_FILE} is cut short or damaged inside: reading it ended the process that did "
                f"(exit code {process.exitcode})"
            )
            return
        if kind == "progress":
            on_progress("store", *value)
        elif kind == "problem":
            found.problems.append(value)
        else:
            found.store = value
            process.join()
            return


def _verify_apart(folder: Path, backup: bool, pipe: Connection) -> None:
    from hashcore import Store
    from hashcore.errors import StoreError
    from hashcore.verifying.verify import Verified, verify_copy

    told = 0

    def on_problem(sentence: str) -> None:
        pipe.send(("problem", sentence))

    def on_progress(done: int, total: int) -> None:
        nonlocal told
        if done - told > total // 200:
            told = done
            pipe.send(("progress", (done, total)))

    try:
        if backup:
            found = verify_copy(folder, on_problem, on_progress)
        else:
            with Store(folder) as store:
                found = store.verify(on_problem, on_progress)
    except StoreError as error:
        on_problem(str(error))
        found = Verified(problems=1)
    pipe.send(("done", asdict(found)))
