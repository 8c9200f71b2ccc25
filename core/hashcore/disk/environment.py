"""The LMDB environment of a store: one per process, a map that grows, one writer at a time."""

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

from hashcore.disk.free_pages import FreePages, find_free_pages, punch
from hashcore.disk.wholeness import DATA_FILE, check_not_empty, check_whole
from hashcore.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreMissing

MAX_READERS = 1024  # slots are shared by all processes, and killed ones leave theirs occupied
SMALLEST_MAP = 1 << 30
SMALL_CHANGE = 4 << 20
"""Bytes up to which a change is small: it may use half of the reserve, and leaves little behind."""
_RESERVED_PARTS = 20  # the reserve is at most this part of the disk
_FEWEST_PUNCHED = 64  # shorter runs of free pages stay for small commits, which then need no new space
_PAGE = 4096
_UNFINISHED = ".unfinished"


class Remappable(Protocol):
    """Something that holds pointers into the map, and can drop them while the map moves."""

    def release_map(self) -> None:
        """Drop all pointers into the map, and end the transactions behind them."""

    def regain_map(self) -> None:
        """Set up new pointers, into the new map."""


class Environment:
    """An open LMDB environment.

    Readers work inside `reading()`. When the map has to grow, new readers wait, current ones
    finish, long-lived holders release their pointers, and the map is replaced; no reader fails.

    Args:
        folder: the folder of the data file; created with mode 0700 if it does not exist.
        map_size: bytes of address space to start with; grows as needed.
        create: make a new store if there is none.
        reserve_bytes: how much of the disk changes leave free for others, at most a 20th of it.

    Raises:
        StoreMissing: there is no store, and none shall be made.
        StoreCorrupt: the data file is empty, or was cut short.
        StoreError: it cannot be opened for another reason.
    """

    def __init__(
        self, folder: Path, *, map_size: int = SMALLEST_MAP, create: bool = True, reserve_bytes: int = 0
    ) -> None:
        if not create and not (folder / DATA_FILE).exists():
            raise StoreMissing(f"there is no store in {folder}; name the data folder of a server")
        check_not_empty(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        try:
            self._env = lmdb.open(
                os.fspath(folder), map_size=map_size, mode=0o700, max_readers=MAX_READERS, max_dbs=0
            )
        except lmdb.Error as error:
            raise StoreError(f"cannot open the store in {folder}: {error}") from error
        try:
            check_whole(folder, self.bytes_used())
            self._file = (folder / DATA_FILE).stat()
        except BaseException:
            self._env.close()
            raise
        self._env.reader_check()
        self._gate = threading.Condition()
        self._active = 0
        self._pins = threading.local()
        self._moving = False
        self._holders: list[Remappable] = []

    def close(self) -> None:
        """Close the environment; every reader must have finished."""
        self._env.close()

    def check_in_place(self) -> None:
        """Make sure that the data file is still the one that was opened, and has all its pages.

        Raises:
            StoreCorrupt: it was deleted, replaced or cut short; the message says so.
        """
        file = self.folder / DATA_FILE
        used = self.bytes_used()  # before the size: a commit writes its pages before it counts them
        try:
            now = file.stat()
        except FileNotFoundError:
            raise StoreCorrupt(f"{file} was deleted while it was in use; restart the server") from None
        if (now.st_dev, now.st_ino) != (self._file.st_dev, self._file.st_ino):
            raise StoreCorrupt(f"{file} was replaced while it was in use; restart the server")
        if now.st_size < min(used, self._file.st_size):
            raise StoreCorrupt(f"{file} was cut short while it was in use; restore it from a backup")
        self._file = now

    def hold(self, holder: Remappable) -> None:
        """Register a long-lived holder of pointers, which is told when the map moves."""
        self._holders.append(holder)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep the map from moving within the block."""
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
        """Begin a read transaction; the caller must hold a pin or be a registered holder."""
        return self._env.begin(buffers=True)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A short read transaction; its buffers are valid only within the block.

        Raises:
            StoreBusy: another process has grown the map, and this thread holds a pin.
        """
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
                raise StoreBusy("the store has grown in the meantime; try again when this read has ended")
            self.adopt_map()

    def write(self, apply: Callable[[Any], None], *, room: int) -> None:
        """Run `apply` in one write transaction and commit it durably.

        Args:
            apply: makes its changes through the transaction that it is given; called again from the
                start if the map has to grow.
            room: how many bytes it will write at most; the map is grown beforehand to hold them.

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

    def check_space(self, room: int, *, small: bool) -> None:
        """Make sure that the disk has room for more, and keeps its reserve.

        Free pages of the file are given back first if it has not.

        Args:
            room: bytes about to be written.
            small: whether the change as a whole is small, so that it may use half of the reserve.

        Raises:
            StoreFull: it has not; the message has the figures.
        """
        disk = shutil.disk_usage(self.folder)
        reserve = min(self._reserve_bytes, disk.total // _RESERVED_PARTS) // (2 if small else 1)
        if not reserve or disk.free >= room + reserve:
            return
        self.give_back()
        free = shutil.disk_usage(self.folder).free
        if free < room + reserve:
            raise StoreFull(
                f"no space left on the disk of {self.folder}: {_megabytes(free)} are free, the change needs "
                f"another {_megabytes(room)}, and {_megabytes(reserve)} stay reserved for the record of hits"
            )

    def give_back(self) -> FreePages | None:
        """Give the space of free pages back to the file system, as far as nobody can see them.

        Nothing that fails here is an error: LMDB uses the pages again itself.

        Returns:
            The free pages found; None if there was no way to tell.
        """
        self._env.reader_check()
        try:
            with self.pinned(), self._env.begin(write=True), (self.folder / DATA_FILE).open("r+b") as file:
                if not os.path.samestat(os.fstat(file.fileno()), self._file):
                    return None  # somebody has replaced it, see `check_in_place`
                # Nobody commits meanwhile, and a reader that begins now sees the newest snapshot.
                found = find_free_pages(file.fileno(), self.last_transaction(), self._oldest_reader())
                if found is not None:
                    for first, count in found.ranges(_FEWEST_PUNCHED):
                        offset, length = first * found.page_bytes, count * found.page_bytes
                        if _holds_data(file.fileno(), offset, length) and not punch(file.fileno(), offset, length):
                            break  # this file system has no holes
                return found
        except (lmdb.Error, OSError):
            return None

    def _oldest_reader(self) -> int | None:
        """The lowest transaction that a reader of any process sees; None without readers."""
        numbers = [line.split()[-1] for line in self._env.readers().splitlines()[1:] if line.strip()]
        return min((int(number) for number in numbers if number != "-"), default=None)

    def allocated_bytes(self) -> int:
        """Bytes that the data file takes up on its disk; holes do not count."""
        return (self.folder / DATA_FILE).stat().st_blocks * 512

    def copy_to(self, folder: Path) -> None:
        """Copy the data file to a folder, as of the newest commit and without free pages.

        Readers and writers continue meanwhile. The file appears under its name only when it is
        complete and on disk.

        Raises:
            StoreError: the folder already holds a store, or the copy cannot be written.
        """
        target, unfinished = folder / DATA_FILE, folder / _UNFINISHED
        if os.path.lexists(target):
            raise StoreError(f"{folder} already holds a store; nothing was copied. Choose another folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            while True:
                shutil.rmtree(unfinished, ignore_errors=True)  # left by a copy that was killed
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
            raise StoreError(f"cannot copy the store to {folder}: {error}; nothing was left behind") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def last_transaction(self) -> int:
        """The number of the newest committed transaction; needs no transaction of its own."""
        return int(self._env.info()["last_txnid"])

    def adopt_map(self) -> None:
        """Take over the size that another process has grown the map to."""
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
            except lmdb.MapResizedError:  # another process has grown it again
                self._env.set_mapsize(0)
            else:
                return

    def explain(self, error: Exception, room: int = 0) -> StoreError:
        """Turn an error of writing to the folder into one that says what to do.

        Args:
            error: the error of LMDB or the operating system.
            room: how many bytes were to be written at most.
        """
        code = getattr(error, "code", None) or getattr(error, "errno", None)
        # LMDB reports a short write, which is what the last one on a full disk is, as an I/O error.
        cut_short = code == errno.EIO and shutil.disk_usage(self.folder).free <= room
        if cut_short or code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StoreFull(f"no space left on the disk of {self.folder}")
        return StoreError(f"cannot write to the store in {self.folder}: {error}")


def _holds_data(descriptor: int, offset: int, length: int) -> bool:
    """Whether a part of a file is more than one hole."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) < offset + length
    except OSError as error:  # no data from there to the end
        return error.errno != errno.ENXIO


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def synchronise(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WriterLock:
    """The right to change a store.

    One process at a time holds it; the kernel releases it when the process dies.

    Args:
        folder: the folder of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "writer.lock"
        self._file: int | None = None

    def acquire(self, *, timeout: float | None, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock.

        Args:
            timeout: seconds to wait for another process; None waits for as long as it takes.
            on_wait: called once, with a sentence that names the process, when there is a wait.

        Raises:
            StoreBusy: another process still held it after `timeout` seconds.
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
        with suppress(OSError):  # tells those who wait whose lock it is; a full disk has no room for that
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._file = descriptor

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
