"""The store: open it, check against it, change it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import lmdb

from hashcore.changes.publish import Limits, LoadOptions, Outcome, Publisher
from hashcore.disk.environment import SMALL_CHANGE, SMALLEST_MAP, Environment, WriterLock
from hashcore.disk.layout import Manifest, read_manifests
from hashcore.errors import StoreError, StoreFull
from hashcore.reading.snapshot import Snapshot
from hashcore.rows import Reject, Rows, Withdrawals
from hashcore.verifying.verify import Verified, verify

_PATIENCE = 2.0  # seconds that a change which did not fit waits for readers, to give back what it took


def _no_phase(_phase: str, _done: int, _total: int) -> None:
    return None


@dataclass(slots=True)
class _Held:
    """A snapshot and how many blocks are using it."""

    snapshot: Snapshot
    users: int = 0
    retired: bool = False


class Store:
    """A folder of hash sets.

    Open one object per process and folder; threads share it. Never use it after a fork.

    Args:
        folder: created with mode 0700 if it does not exist.
        map_size: bytes of address space to start with; grows as needed.
        limits: how much memory changes may use, and how many generations are kept.
        create: make a new, empty store if there is none.

    Raises:
        StoreMissing: there is no store, and none shall be made.
        StoreCorrupt: the data file is empty or was cut short, or what it holds is damaged.
        StoreError: it cannot be opened for another reason.
    """

    def __init__(
        self,
        folder: Path,
        *,
        map_size: int = SMALLEST_MAP,
        limits: Limits | None = None,
        create: bool = True,
    ) -> None:
        self._limits = limits or Limits()
        self._environment = Environment(
            folder, map_size=map_size, create=create, reserve_bytes=self._limits.reserve_bytes
        )
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._held: _Held | None = None
        self._seen = -1
        self._environment.hold(self)
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; every `read()` must have ended."""
        self.release_map()
        self._environment.close()

    @property
    def folder(self) -> Path:
        """The folder that holds the data file."""
        return self._environment.folder

    def check_in_place(self) -> None:
        """Make sure that the files are those that were opened; see `Environment.check_in_place`."""
        self._environment.check_in_place()

    @property
    def bytes_used(self) -> int:
        """Bytes of the data file that hold pages, free ones included."""
        return self._environment.bytes_used()

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """Use the newest generation seen by `refresh`: the whole block is answered from it."""
        with self._environment.pinned():
            with self._lock:
                held = self._held
                assert held is not None
                held.users += 1
            try:
                yield held.snapshot
            finally:
                with self._lock:
                    held.users -= 1
                    if held.retired and not held.users:
                        held.snapshot.close()

    def refresh(self) -> bool:
        """Move on to the newest generation; costs next to nothing when there is no newer one.

        Never call it inside a `read()` of the same thread.

        Returns:
            Whether the generation changed.
        """
        if self._environment.last_transaction() == self._seen:
            return False
        with self._refreshing:  # two at once could step back
            before = None if self._held is None else self._held.snapshot.generation
            while True:
                try:
                    with self._environment.pinned():
                        return self._move_on() != before
                except lmdb.MapResizedError:
                    self._environment.adopt_map()

    def load(
        self,
        name: str,
        blocks: Iterable[Rows | Withdrawals],
        options: LoadOptions | None = None,
        *,
        now: float,
        on_reject: Callable[[Reject], None] = lambda _: None,
        on_phase: Callable[[str, int, int], None] = _no_phase,
        timeout: float | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Replace the contents of a set, or append to them, in one commit.

        Args:
            name: the name of the set.
            blocks: rows to load, and ids of entries to withdraw.
            options: role, category, append and so on.
            now: the time at which the entries count as added, in Unix seconds.
            on_reject: called with each row that is not loaded.
            on_phase: called with the phase, rows done and rows in all; see `Publisher`.
            timeout: seconds to wait while another process changes the store; None waits for as
                long as it takes.
            on_wait: called once, with a sentence, when there is a wait.
            on_done: called with the outcome before any other process may change the store.

        Raises:
            StoreBusy: another process was still changing the store after `timeout` seconds.
            StoreFull: the disk is full; the store is unchanged, and the message says whether what
                the load had written was given back.
        """
        return self._change(
            lambda publisher: publisher.load(name, blocks, options or LoadOptions(), now=now, on_reject=on_reject),
            on_phase,
            timeout,
            on_wait,
            on_done,
        )

    def withdraw(
        self,
        name: str,
        ids: Sequence[str],
        *,
        now: float,
        timeout: float | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Withdraw the entries of a set that have some ids; see `Publisher.withdraw`."""
        return self._change(
            lambda publisher: publisher.withdraw(name, ids, now=now), _no_phase, timeout, on_wait, on_done
        )

    def remove(
        self,
        name: str,
        *,
        now: float,
        timeout: float | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Remove a set; see `Publisher.remove`."""
        return self._change(
            lambda publisher: publisher.remove(name, now=now), _no_phase, timeout, on_wait, on_done
        )

    def change_role(
        self,
        name: str,
        role: str,
        *,
        now: float,
        timeout: float | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Change the role of a set; see `Publisher.change_role`."""
        return self._change(
            lambda publisher: publisher.change_role(name, role, now=now), _no_phase, timeout, on_wait, on_done
        )

    def rollback(
        self,
        to: int,
        *,
        now: float,
        timeout: float | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        on_done: Callable[[Outcome], None] = lambda _: None,
    ) -> Outcome:
        """Publish the sets of an earlier generation again; see `Publisher.rollback`."""
        return self._change(
            lambda publisher: publisher.rollback(to, now=now), _no_phase, timeout, on_wait, on_done
        )

    @contextmanager
    def unchanging(self, *, timeout: float | None = None) -> Iterator[None]:
        """Keep every process from changing the store within the block.

        Raises:
            StoreBusy: another process was still changing it after `timeout` seconds.
        """
        lock = WriterLock(self.folder)
        lock.acquire(timeout=timeout)
        try:
            yield
        finally:
            lock.release()

    def history(self) -> list[Manifest]:
        """The manifests of the generations that are kept, oldest first."""
        with self._environment.reading() as transaction:
            return list(read_manifests(transaction))

    def copy_to(self, folder: Path) -> None:
        """Copy the store to a folder, even while it is in use; see `Environment.copy_to`."""
        self._environment.copy_to(folder)

    def verify(
        self, on_problem: Callable[[str], None], on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> Verified:
        """Verify all kept generations, even while the store is in use; see `hashcore.verifying`."""
        with self._environment.reading() as transaction:
            return verify(transaction, on_problem, on_progress)

    def release_map(self) -> None:
        """Close the snapshot, because the map is about to move."""
        with self._lock:
            if self._held is not None:
                self._held.snapshot.close()
                self._held = None

    def regain_map(self) -> None:
        """Open a new snapshot in the new map."""
        with self._lock:
            self._held = _Held(Snapshot(self._environment.begin()))

    def _move_on(self) -> int:
        """Open the newest snapshot, and return its generation.

        It is opened even if the generation is the same: a reader that stays on an old transaction
        keeps freed pages from being reused.
        """
        transaction = self._environment.begin()
        # The transaction's own number, not `last_transaction`: a commit that is just ending may
        # count there before it can be read.
        seen = int(transaction.id())
        try:
            snapshot = Snapshot(transaction)
        except BaseException:
            transaction.abort()
            raise
        with self._lock:
            before, self._held = self._held, _Held(snapshot)
            self._seen = seen
            if before is not None:
                before.retired = True
                if not before.users:
                    before.snapshot.close()
        return snapshot.generation

    def _give_back(self, publisher: Publisher, patience: float) -> int:
        """Give free pages back to the file system; returns the bytes that the file takes up then.

        Args:
            publisher: of the change that has left them.
            patience: seconds to wait for readers that still see them; those of servers move on
                within a fraction of a second.
        """
        with suppress(StoreError):
            publisher.turn_page()
        deadline = time.monotonic() + patience
        while True:
            with suppress(StoreError):
                self.refresh()  # our own snapshot must not be the one that still sees them
            found = self._environment.give_back()
            waiting = 0 if found is None else found.waiting * found.page_bytes
            if waiting <= SMALL_CHANGE or time.monotonic() >= deadline:
                return self._environment.allocated_bytes()
            time.sleep(0.05)

    def _change(
        self,
        change: Callable[[Publisher], Outcome],
        on_phase: Callable[[str, int, int], None],
        timeout: float | None,
        on_wait: Callable[[str], None],
        on_done: Callable[[Outcome], None],
    ) -> Outcome:
        lock = WriterLock(self.folder)
        lock.acquire(timeout=timeout, on_wait=on_wait)
        try:
            publisher = Publisher(self._environment, self._limits, on_phase=on_phase)
            before = self._environment.allocated_bytes()
            swept = publisher.sweep()
            try:
                outcome = change(publisher)
            except StoreFull as error:
                publisher.try_to_sweep()
                left = self._give_back(publisher, _PATIENCE) - before
                raise StoreFull(f"{error}; {_nothing_changed(left)}") from error
            except BaseException:
                publisher.try_to_sweep()
                if self._environment.allocated_bytes() > before + SMALL_CHANGE:
                    self._give_back(publisher, 0.0)
                raise
            on_done(outcome)
            if max(swept, self._environment.allocated_bytes() - before) > SMALL_CHANGE:
                publisher.try_to_sweep()  # a load that brought nothing new has written all the same
                self._give_back(publisher, 0.0)
            return outcome
        finally:
            lock.release()
            self.refresh()


def _nothing_changed(left: int) -> str:
    """What is true after a change that did not fit, of which some bytes are left on the disk."""
    advice = "Free some space, or lower the number of generations kept, and try again"
    if left <= SMALL_CHANGE:
        return f"nothing was changed, and the space that the change had taken was given back. {advice}"
    return (
        f"nothing was changed, but {left / 1e6:,.1f} MB that the change had taken are not given back yet, as "
        f"somebody is still reading; the next change does that. {advice}"
    )
