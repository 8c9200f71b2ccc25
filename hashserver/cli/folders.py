"""Opening the ledger and the store of a data folder, for commands that only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hashcore import Snapshot
    from hashserver.ledger import Ledger


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of a data folder, complete, and read as it is at one moment.

    Raises:
        BadParameter: the folder has no ledger.
    """
    from hashserver.ledger import Ledger
    from hashserver.ledger.database import FILE
    from hashserver.ledger.fold import fold

    if not (folder / FILE).exists():  # opening would create one, and report that nothing was ever checked
        raise typer.BadParameter(f"{folder} has no ledger; name the server's data folder", param_hint="--data-dir")
    with Ledger(folder) as ledger:
        fold(ledger)  # what workers have committed and not folded yet
        with ledger.reading():
            yield ledger


@contextmanager
def open_snapshot(folder: Path) -> Iterator[Snapshot | None]:
    """The current generation of a data folder's store; None if the folder has no store."""
    if not (folder / "data.mdb").exists():
        yield None
        return
    from hashcore import Store

    with Store(folder) as store, store.read() as snapshot:
        yield snapshot
