"""The ledger's file: opening it, and writing to it from several processes.

SQLite in WAL mode with full synchronisation: what is committed is on disk. SQLite
waits for another writer by sleeping and trying again, which makes some wait for long; here writers
queue up at a file lock.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from hashserver.errors import Trouble
from hashserver.ledger.migrations import migrate, version_of
from hashserver.ledger.schema import SCHEMA, VERSION

FILE = "ledger.sqlite"
WAL_FILE = f"{FILE}-wal"
_LOCK = "ledger.lock"
_CHECKPOINT_PAGES = 4096
_COPIED_PAGES = 4096  # at a time
_BUSY_SECONDS = 30.0


class LedgerError(Trouble):
    """The ledger cannot be read or written; the message says why and what to do."""


class LedgerFull(LedgerError):
    """The disk has no room for what has to be written."""


class LedgerMissing(LedgerError):
    """There is no ledger, or an empty file in its place; the message says what to do."""


WAYS_OUT = (
    "restore a backup with hashserver store restore; or, to give up history and parties, make a new ledger with "
    "hashserver store new-ledger"
)
"""What to do where a ledger should be and is not."""


def explain(error: sqlite3.Error, folder: Path) -> LedgerError:
    """An error of SQLite as one of ours, in a sentence that says what to do."""
    file = folder / FILE
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return LedgerFull(f"{file} cannot be written ({error}); make room on its disk")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerError(f"{file} is damaged ({error}); restore it from a backup")
    return LedgerError(f"{file}: {error}")


class Ledger:
    """A connection to the ledger of a data folder. Threads may share it, one at a time.

    A ledger of an earlier program is migrated when it is opened, also to read it only.

    Args:
        folder: the data folder.
        read_only: refuse every change of its rows through this connection.
        create: make an empty ledger if there is no file, and the folder, mode 0700. Whether there
            should be one is for the caller to know, see `hashserver.data_folder.opening`.

    Raises:
        LedgerMissing: there is none, or its file is empty.
        LedgerError: it cannot be opened, or was written by a newer program.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, create: bool = False) -> None:
        self.folder = folder
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not self.file.exists():
            raise LedgerMissing(f"{self.file} is missing; {WAYS_OUT}")
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self.exclusive():  # SQLite does not wait for those who switch a new file to WAL
                if create and not self.file.exists():
                    make_ledger(folder)
                self.connection = self._open(read_only)
                self._opened = self.file.stat()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise explain(error, folder) from error
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def file(self) -> Path:
        """The database; a log and an index of it lie beside it."""
        return self.folder / FILE

    def check_in_place(self) -> None:
        """Make sure that the file is still the one that was opened, and has not been cut short.

        Raises:
            LedgerError: it was deleted, replaced or cut short; the message says so.
        """
        try:
            now = self.file.stat()
        except FileNotFoundError:
            raise LedgerError(f"{self.file} was deleted while it was in use; {WAYS_OUT}") from None
        if (now.st_dev, now.st_ino) != (self._opened.st_dev, self._opened.st_ino):
            raise LedgerError(f"{self.file} was replaced while it was in use; restart the server")
        if now.st_size < self._opened.st_size:  # SQLite never makes it shorter
            raise LedgerError(f"{self.file} was cut short while it was in use; {WAYS_OUT}")
        self._opened = now

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self.connection.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _open(self, read_only: bool) -> sqlite3.Connection:
        if not self.file.stat().st_size:
            raise LedgerMissing(f"{self.file} is empty; {WAYS_OUT}")
        connection = sqlite3.connect(
            self.file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute("PRAGMA cache_size = -65536")
            self._bring_up_to_date(connection)
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        found = version_of(connection)
        if found == 0:
            raise LedgerMissing(f"{self.file} has no tables; {WAYS_OUT}")
        if 0 < found < VERSION:
            migrate(connection)
        elif found != VERSION:
            raise LedgerError(
                f"{self.folder / FILE} has layout {found}, this program reads layout {VERSION}; use the program "
                "version that wrote it"
            )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the right to write within the block: first come, first served, across processes."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read within the block: all of it as it was at the first look, whatever others write.

        Raises:
            LedgerError: it cannot be read.
        """
        try:
            self.connection.execute("BEGIN")
            yield self.connection
        except sqlite3.Error as error:
            raise explain(error, self.folder) from error
        finally:
            self._roll_back()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write: all of it is on disk when the block ends, or nothing.

        Raises:
            LedgerFull: the disk is full.
            LedgerError: it cannot be written.
        """
        with self.exclusive():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.check_in_place()  # what is written to a deleted file is not recorded
                self.connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise explain(error, self.folder) from error
            except BaseException:
                self._roll_back()
                raise

    def execute(self, statement: str, values: tuple[object, ...]) -> None:
        """Write one statement, which is a transaction of its own.

        Raises:
            LedgerFull: the disk is full.
            LedgerError: it cannot be written.
        """
        with self.exclusive():
            self.check_in_place()  # what is written to a deleted file is not recorded
            try:
                self.connection.execute(statement, values)
            except sqlite3.Error as error:
                self._roll_back()
                raise explain(error, self.folder) from error

    def copy_to(self, file: Path, on_progress: Callable[[int, int], None]) -> None:
        """Copy the whole of it, as it is at one moment, into a new file; others write meanwhile.

        Args:
            file: to write.
            on_progress: told the bytes copied, and in all.

        Raises:
            LedgerError: it cannot be read, or the file cannot be written.
        """
        try:
            with closing(sqlite3.connect(file)) as copy:
                # In a read transaction: the copy would begin again with every hit that is recorded
                # meanwhile.
                self.connection.execute("BEGIN")
                self.connection.execute("SELECT value FROM meta").fetchone()
                size = int(self.connection.execute("PRAGMA page_size").fetchone()[0])
                self.connection.backup(
                    copy,
                    pages=_COPIED_PAGES,
                    progress=lambda _, left, total: on_progress((total - left) * size, total * size),
                )
        except sqlite3.Error as error:
            raise explain(error, file.parent) from error
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # SQLite has rolled back by itself after most errors
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


def make_ledger(folder: Path, fill: Callable[[sqlite3.Connection], None] = lambda _: None) -> None:
    """Make a new ledger in a folder that has none, whole or not at all.

    Args:
        folder: the data folder.
        fill: called within the transaction that makes the tables.

    Raises:
        LedgerMissing: a write-ahead log lies there, so there was a ledger.
        FileExistsError: there is one.
        sqlite3.Error: it cannot be written.
    """
    file = folder / FILE
    if (folder / WAL_FILE).exists():  # SQLite would take what is in it for a part of the new one
        raise LedgerMissing(f"{file} is missing, and its write-ahead log {WAL_FILE} is not; {WAYS_OUT}")
    new = folder / f".{FILE}.{secrets.token_hex(8)}"
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION};")
            fill(connection)
            connection.execute("COMMIT")
        os.link(new, file)
    finally:
        new.unlink()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
