"""Verifying a data folder or a backup: its files, its store and its ledger.

The store is verified in a process of its own: a truncated file, or one with damaged inner pages,
can crash the process that reads it through a memory map, and that is a problem to report, too.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hashserver.data_folder.backup import (
    MANIFEST,
    STORE_FILE,
    BackupRefused,
    OnProgress,
    problems_of_files,
)
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.verify import verify_ledger
from hashserver.parties.keys import SECRET_FILE


@dataclass(slots=True)
class VerifiedFolder:
    """What was verified, and what is wrong with it.

    Args:
        problems: a sentence for each.
        store: counts of what the store holds, and its generation; empty without one.
        ledger: counts of what the ledger holds; empty without one.
    """

    problems: list[str] = field(default_factory=list)
    store: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The members for JSON."""
        return asdict(self)


def verify_folder(folder: Path, on_progress: OnProgress) -> VerifiedFolder:
    """Verify everything in a data folder or a backup.

    Raises:
        BackupRefused: the folder holds neither a store nor a backup.
        BackupError: the backup's manifest cannot be read.
    """
    backup = (folder / MANIFEST).is_file()
    if not backup and not (folder / STORE_FILE).is_file():
        raise BackupRefused(f"{folder} holds neither a store nor a backup; name a folder that does")
    found = VerifiedFolder(problems_of_files(folder, on_progress) if backup else [])
    # The ledger first: while a server runs, the store can only be newer than the hits.
    if (folder / LEDGER_FILE).is_file():
        newest: list[int] = []
        found.ledger = verify_ledger(folder, found.problems.append, copy=backup, newest=newest)
        if found.ledger.get("keys") and not (folder / SECRET_FILE).is_file():
            found.problems.append(f"{folder / SECRET_FILE} is missing, so no key of any party works")
    else:
        newest = []
    if (folder / STORE_FILE).is_file():
        _verify_store(folder, backup, found, on_progress)
        if newest and "generation" in found.store and newest[0] > found.store["generation"]:
            found.problems.append(
                f"the ledger has hits of generation {newest[0]}, but the store is at {found.store['generation']}"
            )
    return found


def _verify_store(folder: Path, backup: bool, found: VerifiedFolder, on_progress: OnProgress) -> None:
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
                f"{folder / STORE_FILE} is truncated or damaged: the process that read it ended unexpectedly "
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
