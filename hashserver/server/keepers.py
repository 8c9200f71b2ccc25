"""What a worker does besides answering requests, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool

from hashcore import HashcoreError, Store
from hashcore.errors import StoreCorrupt
from hashserver.data_folder.opening import STORE_FILE
from hashserver.errors import Trouble
from hashserver.ledger.retention import ClockDoubtful, apply_retention
from hashserver.server.metrics import Latencies
from hashserver.server.parts import Parts
from hashserver.server.warmup import warm_up_changes
from hashserver.settings import Settings

log = logging.getLogger("hashserver")
_SWITCH_SECONDS = 0.0005
_YOUNG_OBJECTS = 20_000  # before the collector runs: hardly any object that a request makes is in a cycle

_GIVE_UP_SECONDS = 5.0
_TRY_AGAIN = 75  # as in sysexits.h; uvicorn would end all workers after a 3
_RETENTION_SECONDS = 3600.0
_METRICS_SECONDS = 0.2


def tune_interpreter() -> None:
    """Keep the collector and the switching of threads from making small requests wait."""
    # What is loaded now stays: scanning it again and again would stall requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    # Small requests wait for the interpreter while large ones are read and matched in threads, by
    # default for as much as 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)


@contextlib.asynccontextmanager
async def keepers(parts: Parts) -> AsyncIterator[None]:
    """Keep sets, parties, metrics and the ledger up to date within the block."""
    ending = threading.Event()
    tasks = [
        asyncio.create_task(keeper)
        for keeper in (
            _keep_watch(parts),
            _keep_sets_fresh(parts),
            _keep_parties_fresh(parts),
            _keep_short(parts.settings),
            _keep_metrics_fresh(parts.latencies),
            _warm_up_changes(ending.is_set),
        )
    ]
    _end_with_parent()
    log.info("ready: generation %d", _generation(parts.store))
    try:
        yield
    finally:
        ending.set()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def give_up(error: Exception) -> NoReturn:
    """End a worker that cannot open the data folder, with a sentence; another one tries again.

    The other workers go on, to say what is wrong. It waits before it ends, so that the log is not
    full of its sentence by the time somebody looks.
    """
    log.error("this worker cannot start: %s", error)
    if multiprocessing.parent_process() is None:
        os._exit(Trouble.exit_code)
    await asyncio.sleep(_GIVE_UP_SECONDS)
    os._exit(_TRY_AGAIN)


def _end_with_parent() -> None:
    """End this worker when the server that started it is gone, or it would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def end() -> None:
        loop.remove_reader(sentinel)
        log.error("the server that started this worker ended unexpectedly; this worker ends too")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, end)


def _generation(store: Store) -> int:
    with store.read() as snapshot:
        return snapshot.generation


async def _keep_watch(parts: Parts) -> None:
    """Notice files that are deleted, replaced, cut short or put back: nothing is answered then."""
    own = CapacityLimiter(1)
    watch = _Watch(parts)
    while True:
        try:
            await to_thread.run_sync(watch.look, limiter=own)
        except Exception as error:
            sentence = str(error) if isinstance(error, HashcoreError | Trouble) else f"cannot look at it: {error}"
            if parts.trouble is None:
                log.error("%s; nothing is answered meanwhile", sentence)
            parts.trouble = sentence
        else:
            if parts.trouble is not None:
                log.info("the files of the data folder are in place again")
            parts.trouble = None
        await asyncio.sleep(parts.settings.refresh_seconds)


class _Watch:
    """Compares the files of the data folder with those that were opened.

    Args:
        parts: of the server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store_id, self._generation = "", 0

    def look(self) -> None:
        """Look once.

        Raises:
            StoreCorrupt, LedgerError: a file is not the one that was opened, or lost what it had.
        """
        self._parts.store.check_in_place()
        self._parts.directory.check_in_place()
        with self._parts.store.read() as snapshot:
            store_id, generation = snapshot.store_id, snapshot.generation
        if generation < self._generation or (self._store_id and store_id != self._store_id):
            raise StoreCorrupt(
                f"{self._parts.store.folder / STORE_FILE} was at generation {self._generation} and is now at "
                f"{generation}, or is another store: a file was put back while it was in use; stop the server, "
                "run hashserver store verify, and start it again"
            )
        self._store_id, self._generation = store_id, generation


async def _keep_sets_fresh(parts: Parts) -> None:
    """Switch to new generations as they are published."""
    while True:
        await asyncio.sleep(parts.settings.refresh_seconds)
        try:
            if await run_in_threadpool(parts.store.refresh):
                log.info("serving generation %d", _generation(parts.store))
        except Exception:
            log.exception("cannot switch to the newest generation; still serving the previous one")


async def _keep_parties_fresh(parts: Parts) -> None:
    """Notice changed parties, even while large sets or requests fill the thread pool."""
    own = CapacityLimiter(1)
    while True:
        await asyncio.sleep(parts.settings.refresh_seconds)
        try:
            if await to_thread.run_sync(parts.directory.refresh, limiter=own):
                log.info("the parties have changed")
        except Exception:
            log.exception("cannot read the parties; still using those read before")


async def _keep_metrics_fresh(latencies: Latencies) -> None:
    """Show the other workers what this one measures."""
    while True:
        await asyncio.sleep(_METRICS_SECONDS)
        latencies.flush()


async def _warm_up_changes(is_ending: Callable[[], bool]) -> None:
    """Compile the kernels that the first added entry would otherwise wait for."""
    try:
        await to_thread.run_sync(warm_up_changes, is_ending, limiter=CapacityLimiter(1))
    except Exception as error:
        log.warning(
            "the first change of a set may take a few seconds, because warming up for it failed: %s", error
        )


async def _keep_short(settings: Settings) -> None:
    """Delete what the operator does not want to keep, when the server starts and every hour."""
    hits, counts = settings.keep_hits_days, settings.keep_counts_days
    while hits is not None or counts is not None:
        try:
            deleted = await run_in_threadpool(
                apply_retention, settings.data_dir, keep_hits_days=hits, keep_counts_days=counts
            )
            if deleted.hits or deleted.counts:
                log.info("retention: %d hits and %d counts deleted", deleted.hits, deleted.counts)
        except ClockDoubtful as doubt:
            log.warning("retention: %s", doubt)
        except Exception:
            log.exception("cannot delete old hits and counts; trying again in an hour")
        await asyncio.sleep(_RETENTION_SECONDS)
