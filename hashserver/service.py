"""What every protocol does with a request: charge its party, match, record, and only then answer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from hashcore import Entry, Rule, Store
from hashserver.answers import Answer, Match
from hashserver.bodies.request import CheckRequest
from hashserver.ledger import LedgerError
from hashserver.ledger.writer import Hit, LedgerWriter, Sighted, Tally
from hashserver.matching import check_request
from hashserver.parties import Directory, Party
from hashserver.parties.limits import Meter
from hashserver.problems import Limits, Problem
from hashserver.settings import Settings

_INLINE_HASHES = 1 << 15  # below this a hop to another thread costs more than the work holds others up
_MOST_REQUEST_ID = 64

_run = os.urandom(6).hex()
_requests = itertools.count()


@dataclass(slots=True)
class Parts:
    """What the routes work with, made when the server starts."""

    settings: Settings
    limits: Limits
    store: Store
    ledger: LedgerWriter
    directory: Directory
    meter: Meter
    ready: bool = False


@dataclass(frozen=True, slots=True)
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
        numbers: the ledger's number of every entry, match by match.
    """

    answer: Answer
    headers: dict[str, str] = field(default_factory=dict)
    numbers: list[list[int]] = field(default_factory=list)


def identify(parts: Parts, headers: Mapping[bytes, str]) -> Caller:
    """Find out who asks.

    Args:
        parts: of the server.
        headers: of the request, names in lower case.

    Raises:
        Problem: 401.
    """
    party = parts.directory.authenticate(headers.get(b"authorization"))
    given = headers.get(b"x-request-id", "")
    if 0 < len(given) <= _MOST_REQUEST_ID and given.isascii() and given.isprintable():
        return Caller(party, given)
    return Caller(party, f"{_run}-{next(_requests):x}")


async def check(parts: Parts, caller: Caller, asked: CheckRequest, *, most: int | None = None) -> Checked:
    """Answer the hashes of a request.

    Raises:
        Problem: 403, 429, or 503 when something matched that cannot be recorded.
    """
    if not caller.party.may("check"):
        raise Problem(403, "forbidden", "Forbidden", f"party {caller.party.name!r} has no permission to check")
    hashes = sum(len(group.digests) for group in asked.asked)
    standing = parts.meter.charge(caller.party, hashes + len(asked.invalid))
    headers = {"X-Request-Id": caller.request, **(standing.headers() if standing else {})}
    arguments = (parts.store, asked, most or parts.settings.max_matches, caller.party.sets)
    if _is_long(asked, hashes):
        answer = await run_in_threadpool(check_request, *arguments)
    else:
        answer = check_request(*arguments)
    return Checked(answer, headers, await _record(parts.ledger, caller, answer))


def _is_long(asked: CheckRequest, hashes: int) -> bool:
    """Whether matching would hold up other requests for longer than a hop to another thread costs."""
    rules = {group.kind.rule for group in asked.asked}
    if rules <= {Rule.EXACT}:
        return hashes > _INLINE_HASHES
    # One perceptual hash at the distance that its indexes are made for takes a fraction of a millisecond.
    return hashes > 1 or bool(asked.max_distance) or not rules <= {Rule.HAMMING}


async def _record(ledger: LedgerWriter, caller: Caller, answer: Answer) -> list[list[int]]:
    tallies = {kind: Tally(checked) for kind, checked in answer.checked.items()}
    for wrong in answer.invalid:
        tallies.setdefault(wrong.type, Tally()).invalid += 1
    if not answer.matches:
        ledger.count(caller.party.number, tallies)
        return []
    hits = _hits(answer.matches, tallies)
    try:
        return await ledger.record(caller.party.number, caller.request, answer.generation, hits, tallies)
    except LedgerError:
        problem = Problem(
            503,
            "ledger-unavailable",
            "Hits cannot be recorded",
            "something matched, and it cannot be recorded at the moment, so it is not answered; try again later, "
            "the operator sees the reason at /readyz",
        )
        problem.headers["Retry-After"] = "10"
        raise problem from None


def _hits(matches: list[Match], tallies: dict[str, Tally]) -> list[Hit]:
    """The matches as the ledger takes them: all of one hash are one hit."""
    hits: list[Hit] = []
    last: tuple[str, int] | None = None
    sighted: list[Sighted] = []
    for match in matches:
        if (match.type, match.index) != last:
            last = (match.type, match.index)
            sighted = []
            hits.append(Hit(match.type, sighted))
            tallies[match.type].hits += 1
        sighted.extend(_sighted(entry, match.distance) for entry in match.entries)
    return hits


def _sighted(entry: Entry, distance: int) -> Sighted:
    # Entries without an id are told apart by their first hash; the marks keep it from being taken for an id.
    key = f"id:{entry.id}" if entry.id is not None else f"hash:{(entry.digest or b'').hex()}"
    return Sighted(entry.set, key, entry.id, entry.category, int(entry.added * 1000), distance)


def numbers_by_match(checked: Checked) -> list[tuple[Match, list[int]]]:
    """Each match with the ledger's numbers of its entries."""
    paired: list[tuple[Match, list[int]]] = []
    rest: dict[tuple[str, int], list[int]] = {}
    numbers: Any = iter(checked.numbers)
    for match in checked.answer.matches:
        key = (match.type, match.index)
        left = rest.pop(key, None)
        if left is None:
            left = next(numbers)
        count = len(match.entries)
        paired.append((match, left[:count]))
        rest = {key: left[count:]}
    return paired
