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

from hashserver.data_folder.backup import MANIFEST, BackupRefused, OnProgress, problems_of_files
from hashserver.data_folder.opening import STORE_FILE
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.database import WAYS_OUT
from hashserver.ledger.known_store import disagreement
from hashserver.ledger.verify import OfStore, verify_ledger
from hashserver.parties.keys import SECRET_FILE


@dataclass(slots=True)
class VerifiedFolder:
    """What was verified, and what is wrong with it.

    Args:
        problems: a sentence for each.
        store: counts of what the store holds, its id and its generation; empty without one.
        ledger: counts of what the ledger holds; empty without one.
    """

    problems: list[str] = field(default_factory=list)
    store: dict[str, Any] = field(default_factory=dict)
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
    has_store, has_ledger = (folder / STORE_FILE).is_file(), (folder / LEDGER_FILE).is_file()
    if not (backup or has_store or has_ledger):
        raise BackupRefused(f"{folder} holds neither a store nor a backup; name a folder that does")
    found = VerifiedFolder(problems_of_files(folder, on_progress) if backup else [])
    # The ledger first: while a server runs, the store can only be newer than what the ledger knows.
    of_store: list[OfStore] = []
    if has_ledger:
        found.ledger = verify_ledger(folder, found.problems.append, copy=backup, of_store=of_store)
        if found.ledger.get("keys") and not (folder / SECRET_FILE).is_file():
            found.problems.append(f"{folder / SECRET_FILE} is missing, so no key of any party works")
    elif not backup:  # the files of a backup have been compared with its manifest
        found.problems.append(f"{folder / LEDGER_FILE} is missing; {WAYS_OUT}")
    if has_store:
        _verify_store(folder, backup, found, on_progress)
    _compare(folder, of_store, found, has_store=has_store)
    return found


def _compare(folder: Path, of_store: list[OfStore], found: VerifiedFolder, *, has_store: bool) -> None:
    """Find out whether the store is the one that the ledger knows, where both can be read."""
    file = folder / STORE_FILE
    if not has_store:
        problem = disagreement(of_store[0].known, None, 0, str(file)) if of_store else None
        found.problems.append(problem or f"{file} is missing")
    elif of_store and "generation" in found.store:
        known, hit = of_store[0]
        id, generation = found.store["store"], found.store["generation"]
        problem = disagreement(known, id, generation, str(file))
        if problem is None and hit is not None and hit > generation:
            problem = f"the ledger has hits of generation {hit}, but the store is at {generation}"
        if problem is not None:
            found.problems.append(problem)


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
    from hashcore.verifying.verify import verify_copy

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
            with Store(folder, create=False) as store:
                found = store.verify(on_problem, on_progress)
    except StoreError as error:
        on_problem(str(error))
        pipe.send(("done", {}))
    else:
        pipe.send(("done", asdict(found)))
