"""What the dashboard of a worker keeps: a thread that reads the ledger, and what it read lately."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.fold import fold_slice
from hashserver.parties.keys import read_secret
from hashserver.server.dashboard.session import SessionSigner

_T = TypeVar("_T")
_MOST_SLICES = 100  # folded before figures are read; more would keep viewers waiting
_FAILURE_SECONDS = 0.5
_MOST_FAILURES = 32


class Dashboard:
    """Reads for all viewers, at most once every few seconds.

    One thread does it, so that viewers never take the threads that checks need.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        with Ledger(folder) as ledger:
            self.signer = SessionSigner(read_secret(ledger))
        self.folder = folder
        self._thread = ThreadPoolExecutor(1, "dashboard")
        self._ledger: Ledger | None = None
        self._kept: dict[Any, tuple[float, asyncio.Future[Any]]] = {}
        self._failures = 0

    def close(self) -> None:
        """End the thread, and close the ledger."""
        self._thread.shutdown(cancel_futures=True)
        if self._ledger is not None:
            self._ledger.close()

    async def kept(self, key: Any, seconds: float, read: Callable[[], _T]) -> _T:
        """What `read` returned in the last `seconds`, or returns now; callers at once share it.

        Args:
            key: stands for what is read; there are only a few of them.
            seconds: how old it may be.
            read: is called in the dashboard's thread.
        """
        begun, future = self._kept.get(key, (0.0, None))
        if future is None or (future.done() and time.monotonic() - begun > seconds):
            future = asyncio.get_running_loop().run_in_executor(self._thread, read)
            self._kept[key] = (time.monotonic(), future)
        try:
            # One reader that goes away must not take it from the others.
            found: _T = await asyncio.shield(future)
        except BaseException:
            if future.done() and self._kept.get(key, (0.0, None))[1] is future:
                del self._kept[key]
            raise
        return found

    async def figures(self, key: Any, seconds: float, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """As `kept`, for what is read from the ledger, all as of one moment.

        Raises:
            LedgerError: it cannot be read.
        """
        return await self.kept(key, seconds, lambda: self._read(read))

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._ledger is None:
            self._ledger = Ledger(self.folder)
        try:
            with self._ledger.reading() as connection:
                return read(connection)
        except LedgerError:
            self._ledger.close()
            self._ledger = None
            raise

    def fold(self) -> None:
        """Fold matches, in the dashboard's thread; of a large backlog, only a part.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        if self._ledger is None:
            self._ledger = Ledger(self.folder)
        for _ in range(_MOST_SLICES):
            if not fold_slice(self._ledger):
                return

    async def delay_failure(self) -> bool:
        """Wait a moment after a wrong key; returns False at once if too many already wait."""
        if self._failures >= _MOST_FAILURES:
            return False
        self._failures += 1
        try:
            await asyncio.sleep(_FAILURE_SECONDS)
        finally:
            self._failures -= 1
        return True
