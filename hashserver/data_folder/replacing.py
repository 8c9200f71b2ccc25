"""Going on with a data folder that has lost its ledger, or has another store than its ledger knows.

Both are decided by a person who says why. A folder that may have had parties stays closed until one
is added.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from hashserver.data_folder.opening import STORE_FILE, open_ledger
from hashserver.errors import BadInput
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.database import WAL_FILE, make_ledger
from hashserver.ledger.known_store import KnownStore, disagreement, known_store
from hashserver.ledger.tables.audit import write_audit
from hashserver.ledger.tables.meta import CLOSED, set_number
from hashserver.ledger.tables.parties import party_names


class NothingToReplace(BadInput):
    """The folder has what it should have, so nothing was changed; the message says so."""


def make_new_ledger(folder: Path, *, who: str, because: str) -> int:
    """Make a new ledger in the place of one that is lost, which answers nobody but parties.

    Args:
        folder: the data folder.
        who: decides, as the audit log names them.
        because: why.

    Returns:
        The generation of the store beside it.

    Raises:
        NothingToReplace: there is a ledger, whether it can be read or not.
        StoreMissing: it is not a data folder.
        StoreError: the store cannot be opened.
    """
    from hashcore.errors import StoreMissing

    file = folder / LEDGER_FILE
    if not folder.is_dir() or not any(folder.iterdir()):
        raise StoreMissing(f"there is no store in {folder}; name the data folder of a server")
    if file.exists() and file.stat().st_size:
        raise NothingToReplace(f"{file} is there, and nothing was changed; move it away if it shall be replaced")
    id, generation = _state_of_store(folder)

    def fill(connection: sqlite3.Connection) -> None:
        set_number(connection, CLOSED, 1)
        after: dict[str, Any] = {"because": because}
        if generation:
            after |= {"generation": generation, "store": id}
        write_audit(connection, who=who, action="store new-ledger", subject="ledger", after=after)

    # What is left of the old one belongs to no other: SQLite must not take it for its own.
    for name in (WAL_FILE, f"{LEDGER_FILE}-shm", LEDGER_FILE):
        if (folder / name).exists():
            (folder / name).rename(folder / f"{name}.lost-{time.time_ns()}")
    make_ledger(folder, fill)
    return generation


def accept_store(folder: Path, *, who: str, because: str) -> tuple[KnownStore, int]:
    """Let the ledger go by the store as it is, which is older, another one, or not there any more.

    Args:
        folder: the data folder; an empty store is made if there is none.
        who: decides, as the audit log names them.
        because: why.

    Returns:
        What the ledger knew, and the generation that it goes by now.

    Raises:
        NothingToReplace: the store is the one that the ledger knows.
        StoreMissing: it is not a data folder.
        LedgerError, StoreError: one of the two cannot be opened.
    """
    from hashcore import Store

    with open_ledger(folder) as ledger:
        is_there = (folder / STORE_FILE).exists()
        id, generation = _state_of_store(folder)
        known = known_store(ledger.connection)
        if disagreement(known, id if is_there else None, generation, STORE_FILE) is None:
            raise NothingToReplace(
                f"{folder / STORE_FILE} is the store that the ledger knows, at generation {generation}; nothing "
                "was changed"
            )
        if not is_there:
            Store(folder).close()
        before = {"generation": known.generation, "store": known.store}
        after = {"generation": generation, "store": id, "because": because}
        with ledger.transaction() as connection:
            # A ledger that knows nothing of its store may be a new one, of which nobody knows
            # whether there were parties before.
            if not known.begun and not party_names(connection):
                set_number(connection, CLOSED, 1)
            write_audit(connection, who=who, action="store accept", subject="store", before=before, after=after)
    return known, generation


def _state_of_store(folder: Path) -> tuple[str, int]:
    """The id and the generation of a folder's store; "" and 0 if it has none."""
    from hashcore import Store

    if not (folder / STORE_FILE).exists():
        return "", 0
    with Store(folder, create=False) as store, store.read() as snapshot:
        return snapshot.store_id, snapshot.generation
