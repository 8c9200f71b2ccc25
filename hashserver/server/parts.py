"""What every protocol does with a request: charge its party, match, record, and only then answer."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from hashcore import Rule, Store
from hashserver.ledger import LedgerError
from hashserver.ledger.entry_keys import key_of
from hashserver.ledger.fold import MatchRow
from hashserver.ledger.writer import LedgerWriter, Tally
from hashserver.parties import Directory, Party
from hashserver.parties.directory import require
from hashserver.parties.limits import Meter
from hashserver.problems import Limits, Problem
from hashserver.server.answers import Answer
from hashserver.server.bodies.request import CheckRequest
from hashserver.server.checks import check_request
from hashserver.settings import Settings
from hashserver.times import now_ms

_INLINE_HASHES = 1 << 15  # below this a hop to another thread costs more than the work holds others up
_MOST_REQUEST_ID = 64

_run = os.urandom(6).hex()
_requests = itertools.count()


@dataclass(slots=True)
class Parts:
    """What the routes work with, made when the server starts.

    Args:
        changing: held by the request that changes the store.
    """

    settings: Settings
    limits: Limits
    store: Store
    ledger: LedgerWriter
    directory: Directory
    meter: Meter
    ready: bool = False
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Caller:
    """Who asks, and under which number.

    Args:
        party: whose key it is.
        request: the client's X-Request-Id, or one of ours; it is in the ledger and in the answer.
    """

    party: Party
    request: str


@dataclass(slots=True)
class Checked:
    """An answer that may leave: what it says is on disk.

    Args:
        answer: what matched.
        headers: to send with it.
        numbers: the ledger's number of every entry of every match, in order, where they were asked for.
    """

    answer: Answer
    headers: dict[str, str] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)


def identify(parts: Parts, headers: Mapping[bytes, str]) -> Caller:
    """Find out who asks.

    Args:
        parts: of the server.
        headers: of the request, names in lower case.

    Raises:
        Problem: 401.
    """
    party = parts.directory.authenticate(headers.get(b"authorization"))
    given = headers.get(b"x-request-id")
    if given is not None and 0 < len(given) <= _MOST_REQUEST_ID and given.isascii() and given.isprintable():
        return Caller(party, given)
    return Caller(party, f"{_run}-{next(_requests):x}")


async def check(
    parts: Parts, caller: Caller, asked: CheckRequest, *, most: int | None = None, numbered: bool = False
) -> Checked:
    """Answer the hashes of a request.

    Args:
        parts: of the server.
        caller: who asks.
        asked: what.
        most: entries to name for one hash; the settings' number when None.
        numbered: also return the ledger's numbers of the entries, which costs more.

    Raises:
        Problem: 403, 429, or 503 when something matched that cannot be recorded.
    """
    party = caller.party
    require(party, "check")
    hashes, is_long = _effort(asked)
    charged = hashes + len(asked.invalid)
    standing = parts.meter.charge(party, charged)
    headers = {"X-Request-Id": caller.request}
    if standing is not None:
        headers.update(standing.headers())
    most = most or parts.settings.max_matches
    if is_long:
        answer = await run_in_threadpool(check_request, parts.store, asked, most, party.sets)
    else:
        answer = check_request(parts.store, asked, most, party.sets)
    del asked  # large, and others need the memory while this request waits for the disk
    tallies = {kind: Tally(checked) for kind, checked in answer.checked.items()}
    for wrong in answer.invalid:
        tallies.setdefault(wrong.type, Tally()).invalid += 1
    if not answer.matches:
        parts.ledger.count(party.number, tallies)
        return Checked(answer, headers)
    rows = _rows(caller, answer, tallies)
    try:
        numbers = await parts.ledger.record(party.number, rows, tallies, numbered=numbered)
    except LedgerError:
        parts.meter.refund(party, charged)
        raise _unrecorded() from None
    return Checked(answer, headers, numbers)


def _effort(asked: CheckRequest) -> tuple[int, bool]:
    """Hashes of a request, and whether matching holds up others for longer than a hop to another thread costs."""
    hashes, near, is_odd = 0, 0, bool(asked.max_distance)
    for group in asked.asked:
        hashes += len(group.digests)
        rule = group.kind.rule
        if rule is not Rule.EXACT:
            near += len(group.digests)
            is_odd = is_odd or rule is not Rule.HAMMING
    # One perceptual hash at the distance that its indexes are made for takes a fraction of a millisecond.
    return hashes, hashes > _INLINE_HASHES or near > 1 or (near > 0 and is_odd)


def _unrecorded() -> Problem:
    problem = Problem(
        503,
        "ledger-unavailable",
        "Hits cannot be recorded",
        "something matched, and it cannot be recorded at the moment, so it is not answered; try again later, the "
        "operator sees the reason at /readyz",
    )
    problem.headers["Retry-After"] = "10"
    return problem


def _rows(caller: Caller, answer: Answer, tallies: dict[str, Tally]) -> list[MatchRow]:
    """The matches as the ledger takes them: all of one hash are one hit, the nearest one has rank 0."""
    rows: list[MatchRow] = []
    now, party, request, generation = now_ms(), caller.party.number, caller.request, answer.generation
    last: tuple[str, int] | None = None
    rank = 0
    for match in answer.matches:
        kind, distance = match.type, match.distance
        if (kind, match.index) != last:
            last, rank = (kind, match.index), 0
            tallies[kind].hits += 1
        for entry in match.entries:
            name, key, added = entry.id, key_of(entry), int(entry.added * 1000)
            rows.append(
                (
                    now,
                    party,
                    request,
                    generation,
                    kind,
                    distance,
                    rank,
                    entry.set,
                    key,
                    name,
                    entry.category,
                    added,
                )
            )
            rank += 1
    return rows
