"""What the routes work with, and who is asking."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from hashcore import Store
from hashserver.data_folder.opening import open_folder
from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.publications import find_unaudited
from hashserver.ledger.tables.counts import counts_by_party
from hashserver.ledger.writer import LedgerWriter
from hashserver.parties import Directory, Party
from hashserver.parties.limits import Meter
from hashserver.server.metrics import Latencies
from hashserver.server.problems import RequestLimits
from hashserver.settings import Settings
from hashserver.times import DAY_MS, now_ms

log = logging.getLogger("hashserver")
_MOST_REQUEST_ID = 64

_run = os.urandom(6).hex()
_requests = itertools.count()


@dataclass(slots=True)
class Parts:
    """What the routes work with, made when the server starts.

    Args:
        trouble: what is wrong with the files of the data folder, in a sentence; nothing is answered
            meanwhile.
        changing: held by the request that changes the store.
    """

    settings: Settings
    limits: RequestLimits
    store: Store
    ledger: LedgerWriter
    directory: Directory
    meter: Meter
    latencies: Latencies = field(default_factory=Latencies)
    ready: bool = False
    trouble: str | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Caller:
    """Who is asking, and the id of the request.

    Args:
        party: the owner of the key.
        request: the client's X-Request-Id, or one of ours; it is in the ledger and in the answer.
    """

    party: Party
    request: str


def identify(parts: Parts, headers: Mapping[bytes, str]) -> Caller:
    """Find out who is asking.

    Args:
        parts: of the server.
        headers: of the request, names in lower case.

    Raises:
        NotAuthenticated: no key, or one that is not valid.
    """
    party = parts.directory.authenticate(headers.get(b"authorization"))
    given = headers.get(b"x-request-id")
    if given is not None and 0 < len(given) <= _MOST_REQUEST_ID and given.isascii() and given.isprintable():
        return Caller(party, given)
    return Caller(party, f"{_run}-{next(_requests):x}")


async def open_parts(settings: Settings, *, create: bool = True) -> Parts:
    """Open everything that requests need: the store, the ledger, the parties and their limits.

    Args:
        settings: name the data folder.
        create: make store and ledger where there never were any.
    """
    limits, store, directory, meter = await run_in_threadpool(_open_parts, settings, create)
    return Parts(settings, limits, store, await LedgerWriter.start(settings.data_dir), directory, meter)


def _open_parts(settings: Settings, create: bool) -> tuple[RequestLimits, Store, Directory, Meter]:
    limits = RequestLimits(settings.max_hashes, settings.max_body_bytes, settings.max_unpacked_bytes)
    with open_folder(settings, create=create) as folder:
        store = folder.keep_store()
        _audit_what_was_killed(folder.ledger, store)
    directory = Directory(settings.data_dir)
    meter = Meter(settings.data_dir)
    today = now_ms() // DAY_MS
    with Ledger(settings.data_dir, read_only=True) as ledger, ledger.reading() as connection:
        for party, sums in counts_by_party(connection, range(24 * today, 24 * today + 24)).items():
            meter.seed(party, today, sums.checked + sums.invalid)
    return limits, store, directory, meter


def _audit_what_was_killed(ledger: Ledger, store: Store) -> None:
    try:
        if found := find_unaudited(ledger, store):
            log.warning("%d generations were missing from the audit log and have been added", found)
    except LedgerError as error:
        log.warning("cannot look for generations that are missing from the audit log: %s", error)


async def close_parts(parts: Parts) -> None:
    """Write what is pending, and close everything."""
    await parts.ledger.close()
    await run_in_threadpool(_close_parts, parts)


def _close_parts(parts: Parts) -> None:
    parts.meter.close()
    parts.directory.close()
    parts.store.close()
