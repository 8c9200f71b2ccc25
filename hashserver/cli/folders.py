"""Opening the data folder of the settings, or its ledger alone, for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from hashcore import Snapshot
    from hashserver.data_folder.opening import DataFolder
    from hashserver.ledger import Ledger
    from hashserver.settings import Settings


def open_data_folder(settings: Settings, *, create: bool = False) -> DataFolder:
    """Open store and ledger; see `hashserver.data_folder.opening.open_folder`."""
    choose_cache(settings.data_dir, create=create)
    from hashserver.data_folder.opening import open_folder

    opened = open_folder(settings, create=create)
    from hashcore.disk.wholeness import catch_bus_errors

    catch_bus_errors()  # its kernel may be cached in the folder, which must be there
    return opened


@contextmanager
def open_ledger_to_read(folder: Path) -> Iterator[Ledger]:
    """The ledger of a data folder, complete, and read as it is at one moment.

    Raises:
        StoreMissing: it is not a data folder.
        LedgerMissing: it has lost its ledger.
    """
    from hashserver.data_folder.opening import open_ledger
    from hashserver.ledger.fold import fold

    with open_ledger(folder) as ledger:
        fold(ledger)  # what workers have committed and not folded yet
        with ledger.reading():
            yield ledger


@contextmanager
def open_snapshot(ledger: Ledger) -> Iterator[Snapshot | None]:
    """The current generation of the store beside a ledger; None if there never was one.

    Raises:
        WrongStore: it is not the one that the ledger knows, or is lost.
    """
    from hashserver.data_folder.opening import STORE_FILE, compare
    from hashserver.ledger.known_store import known_store, require_agreement

    folder = ledger.folder
    known = known_store(ledger.connection)
    if not (folder / STORE_FILE).exists():
        require_agreement(known, None, 0, str(folder / STORE_FILE))
        yield None
        return
    choose_cache(folder)
    from hashcore import Store
    from hashcore.disk.wholeness import catch_bus_errors

    catch_bus_errors()
    with Store(folder, create=False) as store, store.read() as snapshot:
        compare(known, snapshot, folder)
        yield snapshot
