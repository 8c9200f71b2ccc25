"""Opening a data folder: what is missing from it is an error, unless nothing was ever there.

A folder is new if it has none of the files that only a used one has. Then the ledger is made first
and the store after it, so a store without a ledger has lost it. Store and ledger are compared
whenever the folder is opened to serve or to change it, see `hashserver.ledger.known_store`.

Nothing of the engine is imported before a store is opened: changes of parties need none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOTDIR
from pathlib import Path
from stat import S_ISDIR
from types import TracebackType
from typing import TYPE_CHECKING

from hashserver.ledger import Ledger
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.database import WAL_FILE
from hashserver.ledger.known_store import KnownStore, known_store, require_agreement
from hashserver.parties.keys import SECRET_FILE
from hashserver.parties.limits import FILE as LIMITS_FILE
from hashserver.settings import Settings

if TYPE_CHECKING:
    from hashcore import Snapshot, Store

STORE_FILE = "data.mdb"
_REMAINS = (SECRET_FILE, WAL_FILE, LIMITS_FILE)  # are made only after the ledger


@dataclass(slots=True)
class DataFolder:
    """An open data folder, whose store is the one that its ledger knows."""

    store: Store
    ledger: Ledger
    _keeps_store: bool = False

    def keep_store(self) -> Store:
        """The store, which the caller closes instead of `close`."""
        self._keeps_store = True
        return self.store

    def __enter__(self) -> DataFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what nobody keeps."""
        if not self._keeps_store:
            self.store.close()
        self.ledger.close()


def open_folder(settings: Settings, *, create: bool = False) -> DataFolder:
    """Open the data folder of the settings, with their limits.

    Args:
        settings: name the folder.
        create: make a ledger and an empty store where there never was any.

    Raises:
        StoreMissing: it is not a data folder, and none shall be made.
        LedgerMissing: it has lost its ledger.
        WrongStore: it has lost its store, or has an older one, or that of another folder.
        StoreError, LedgerError: one of the two cannot be opened.
    """
    ledger = open_ledger(settings.data_dir, create=create)
    try:
        known = known_store(ledger.connection)
        store = _open_store(settings, ledger, known, create=create)
    except BaseException:
        ledger.close()
        raise
    try:
        with store.read() as snapshot:
            compare(known, snapshot, settings.data_dir)
    except BaseException:
        store.close()
        ledger.close()
        raise
    return DataFolder(store, ledger)


def was_used(folder: Path) -> bool:
    """Whether a folder has anything that only a data folder has; opens nothing."""
    return any((folder / name).exists() for name in (LEDGER_FILE, STORE_FILE, *_REMAINS))


def open_ledger(folder: Path, *, create: bool = False) -> Ledger:
    """Open the ledger of a data folder; its store is looked at only if there is no ledger.

    Args:
        folder: the data folder.
        create: make a ledger if the folder is new.

    Raises:
        NotADirectoryError: it is a file, or below one.
        StoreMissing: it is not a data folder, and no ledger shall be made.
        LedgerMissing: it has lost its ledger.
        LedgerError: it cannot be opened.
    """
    with suppress(FileNotFoundError):
        if not S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder))
    is_used = any((folder / name).exists() for name in _REMAINS)
    has_store = (folder / STORE_FILE).exists()
    # The ledger last: whoever makes all of them at this moment makes it first.
    if (folder / LEDGER_FILE).exists() or is_used:
        return Ledger(folder)
    if not create and not has_store:
        from hashcore.errors import StoreMissing

        raise StoreMissing(f"there is no store in {folder}; name the data folder of a server")
    if has_store and not (create and _is_unpublished(folder)):
        return Ledger(folder)
    return Ledger(folder, create=True)


def compare(known: KnownStore, snapshot: Snapshot, folder: Path) -> None:
    """Refuse a store that is not the one that a ledger knows.

    Raises:
        WrongStore: it is another one, or older.
    """
    require_agreement(known, snapshot.store_id, snapshot.generation, str(folder / STORE_FILE))


def _open_store(settings: Settings, ledger: Ledger, known: KnownStore, *, create: bool) -> Store:
    from hashcore import Limits, Store

    file = settings.data_dir / STORE_FILE
    limits = Limits(
        run_bytes=settings.load_memory_bytes,
        keep_generations=settings.keep_generations,
        reserve_bytes=settings.disk_reserve_bytes,
    )

    def opened() -> Store:
        return Store(settings.data_dir, map_size=settings.map_size_bytes, limits=limits, create=create)

    with suppress(FileNotFoundError):
        if file.stat().st_size:
            return opened()
    # It is missing, or somebody is just making it, who holds the ledger's lock until it has
    # content.
    with ledger.exclusive():
        if not file.exists():
            require_agreement(known, None, 0, str(file))
        return opened()


def _is_unpublished(folder: Path) -> bool:
    from hashcore import Store

    with Store(folder, create=False) as store, store.read() as snapshot:
        return snapshot.generation == 0
