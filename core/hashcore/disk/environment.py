"""The LMDB environment of a store: one per process, a map that grows by itself, one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import lmdb

from hashcore.errors import StoreBusy, StoreError, StoreFull

MAX_READERS = 1024  # the table is shared by all processes, and killed ones leave their slots behind
SMALLEST_MAP = 1 << 30
DATA_FILE = "data.mdb"
_PAGE = 4096
_UNFINISHED = ".unfinished"


class Remappable(Protocol):
    """Something that points into the map and can let go of it while the map moves."""

    def release_map(self) -> None: ...

    def regain_map(self) -> None: ...


class Environment:
    """An open LMDB environment.

    Readers work inside `reading()`. When the map has to grow, new readers wait, those under way
    finish, long-lived holders of pointers let go, and the map is replaced; nobody fails.

    Args:
        folder: the folder of the data file; made with mode 0700 if absent.
        map_size: bytes of address space to begin with; grows as needed.
    """

    def __init__(self, folder: Path, *, map_size: int = SMALLEST_MAP) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        try:
            self._env = lmdb.open(
                os.fspath(folder), map_size=map_size, mode=0o700, max_readers=MAX_READERS, max_dbs=0
            )
        except lmdb.Error as error:
            raise StoreError(f"cannot open the store in {folder}: {error}") from error
        self._env.reader_check()
        self._gate = threading.Condition()
        self._active = 0
        self._pins = threading.local()
        self._moving = False
        self._holders: list[Remappable] = []

    def close(self) -> None:
        """Release the map; every reader must have finished."""
        self._env.close()

    def hold(self, holder: Remappable) -> None:
        """Register a long-lived holder of pointers into the map."""
        self._holders.append(holder)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep the map where it is."""
        depth = getattr(self._pins, "depth", 0)
        with self._gate:
            # A pin inside a pin must not wait for a map that waits for the outer one.
            while self._moving and not depth:
                self._gate.wait()
            self._active += 1
        self._pins.depth = depth + 1
        try:
            yield
        finally:
            self._pins.depth = depth
            with self._gate:
                self._active -= 1
                self._gate.notify_all()

    def begin(self) -> Any:
        """Begin a read transaction; the caller holds a pin or is a registered holder."""
        return self._env.begin(buffers=True)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A read transaction for a short while; its buffers end with it."""
        while True:
            with self.pinned():
                try:
                    transaction = self.begin()
                except lmdb.MapResizedError:
                    transaction = None
                if transaction is not None:
                    try:
                        yield transaction
                    finally:
                        transaction.abort()
                    return
            if getattr(self._pins, "depth", 0):
                raise StoreBusy("the store has grown in the meantime; ask again when this read has ended")
            self.adopt_map()

    def write(self, apply: Callable[[Any], None], *, room: int) -> None:
        """Run `apply` in one write transaction and commit it durably.

        Args:
            apply: makes its changes through the transaction it is given; may be called again from
                the start when the map had to grow.
            room: bytes that it will write at most; the map is grown beforehand to hold them.

        Raises:
            StoreFull: the disk is full; nothing was changed.
        """
        self._make_room(room)
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    apply(transaction)
                return
            except lmdb.MapFullError:
                self._move_map(2 * self._env.info()["map_size"])
            except lmdb.MapResizedError:
                self.adopt_map()
            except (lmdb.Error, OSError) as error:
                raise self.explain(error, room) from error

    def copy_to(self, folder: Path) -> None:
        """Copy the data file as the newest commit left it, without free pages, into a folder.

        Readers and writers go on meanwhile. The file appears under its name when it is whole and on
        the disk.

        Raises:
            StoreError: the folder holds a store, or the copy cannot be written.
        """
        target, unfinished = folder / DATA_FILE, folder / _UNFINISHED
        if os.path.lexists(target):
            raise StoreError(f"{folder} holds a store already; nothing was copied. Name another folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            while True:
                shutil.rmtree(unfinished, ignore_errors=True)  # of a copy that was killed
                unfinished.mkdir(mode=0o700)
                try:
                    with self.pinned():
                        self._env.copy(os.fspath(unfinished), compact=True)
                    break
                except lmdb.MapResizedError:
                    self.adopt_map()
            synchronise(unfinished / DATA_FILE)
            (unfinished / DATA_FILE).rename(target)
            synchronise(folder)
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"cannot copy the store to {folder}: {error}; nothing was left there") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def last_transaction(self) -> int:
        """The number of the newest committed transaction, without beginning one."""
        return int(self._env.info()["last_txnid"])

    def adopt_map(self) -> None:
        """Take over the map size that another process has grown to."""
        self._move_map(0)

    def bytes_used(self) -> int:
        """Bytes of the data file that hold pages, free ones included."""
        return (int(self._env.info()["last_pgno"]) + 1) * _PAGE

    def _make_room(self, room: int) -> None:
        size = int(self._env.info()["map_size"])
        needed = self.bytes_used() + room + room // 16 + (1 << 20)
        if needed > size:
            while size < needed:
                size *= 2
            self._move_map(size)

    def _move_map(self, size: int) -> None:
        with self._gate:
            while self._moving:
                self._gate.wait()
            self._moving = True
            while self._active:
                self._gate.wait()
        try:
            for holder in self._holders:
                holder.release_map()
            self._env.set_mapsize(size)
            for holder in self._holders:
                self._regain(holder)
        finally:
            with self._gate:
                self._moving = False
                self._gate.notify_all()

    def _regain(self, holder: Remappable) -> None:
        while True:
            try:
                holder.regain_map()
            except lmdb.MapResizedError:  # another process has grown it once more
                self._env.set_mapsize(0)
            else:
                return

    def explain(self, error: Exception, room: int = 0) -> StoreError:
        """An error of writing to the folder, in a sentence; room is how much was to be written at most."""
        code = getattr(error, "code", None) or getattr(error, "errno", None)
        # A write that was cut short, as the last one on a disk that fills up is, LMDB calls an I/O
        # error.
        cut_short = code == errno.EIO and shutil.disk_usage(self.folder).free <= room
        if cut_short or code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StoreFull(
                f"no space left on the disk of {self.folder}; nothing was changed. Free some space, or lower "
                "the number of generations kept, and try again"
            )
        return StoreError(f"cannot write to the store in {self.folder}: {error}")


def synchronise(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WriterLock:
    """The right to publish, held by one process at a time and let go by the kernel when it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "writer.lock"
        self._file: int | None = None

    def acquire(self, *, timeout: float | None, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock.

        Args:
            timeout: seconds to wait for another process; None waits for as long as it takes.
            on_wait: told once, in a sentence, that and for whom there is a wait.

        Raises:
            StoreBusy: another process still holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = None if timeout is None else time.monotonic() + timeout
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                if deadline is not None and time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise StoreBusy(
                        f"another process (pid {holder}) is changing this store; try again when it has finished"
                    ) from None
                if not told:
                    on_wait(f"another process (pid {holder}) is changing this store; waiting for it to finish")
                    told = True
                time.sleep(0.05)
        with suppress(OSError):  # whose lock it is helps those who wait; a full disk has no room to say so
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._file = descriptor

    def release(self) -> None:
        """Let go of the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
