"""What every protocol does with a request: charge its party, match, record, then answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from hashcore import Matches, Rule, Snapshot, Store
from hashserver.ledger import LedgerError
from hashserver.ledger.match_row import MatchRow, match_row
from hashserver.ledger.writer import TypeCounts
from hashserver.parties.directory import require
from hashserver.server.answers import Answer, NamedMatch
from hashserver.server.bodies.request import Asked, CheckRequest
from hashserver.server.parts import Caller, Parts
from hashserver.server.problems import Problem
from hashserver.times import now_ms

_INLINE_HASHES = 1 << 15  # below this a hop to another thread takes longer than the work


@dataclass(slots=True)
class Checked:
    """An answer that may be sent: what it says is on disk.

    Args:
        answer: what matched.
        headers: to send with it.
        numbers: the ledger's number of every entry of every match, in order, where they were asked
            for.
    """

    answer: Answer
    headers: dict[str, str] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)


async def check(parts: Parts, caller: Caller, asked: CheckRequest, *, numbered: bool = False) -> Checked:
    """Answer the hashes of a request.

    Args:
        parts: of the server.
        caller: who is asking.
        asked: the hashes.
        numbered: also return the ledger's numbers of the entries, which costs more.

    Raises:
        NotPermitted, OverLimit: the party may not check, or not that many hashes.
        Problem: 503, something matched that cannot be recorded.
    """
    party = caller.party
    require(party, "check")
    hashes, is_long = _effort(asked)
    charged = hashes + len(asked.invalid)
    allowance = parts.meter.charge(party, charged)
    headers = {"X-Request-Id": caller.request}
    if allowance is not None:
        headers.update(allowance.headers())
    most = parts.settings.max_matches
    if is_long:
        answer = await run_in_threadpool(check_request, parts.store, asked, most, party.sets)
    else:
        answer = check_request(parts.store, asked, most, party.sets)
    del asked  # large, and others need the memory while this request waits for the disk
    tallies = {hash_type: TypeCounts(checked) for hash_type, checked in answer.checked.items()}
    for wrong in answer.invalid:
        tallies.setdefault(wrong.type, TypeCounts()).invalid += 1
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
    """Hashes of a request, and whether matching them takes longer than a hop to another thread."""
    hashes, near, is_odd = 0, 0, bool(asked.max_distance)
    for group in asked.asked:
        hashes += len(group.digests)
        rule = group.hash_type.rule
        if rule is not Rule.EXACT:
            near += len(group.digests)
            is_odd = is_odd or rule is not Rule.HAMMING
    # One perceptual hash at the distance that its indexes are made for takes a fraction of a
    # millisecond.
    return hashes, hashes > _INLINE_HASHES or near > 1 or (near > 0 and is_odd)


def _unrecorded() -> Problem:
    problem = Problem(
        503,
        "ledger-unavailable",
        "Hits cannot be recorded",
        "something matched, but hits cannot be recorded at the moment, so there is no answer; try again later, "
        "/readyz shows the reason",
    )
    problem.headers["Retry-After"] = "10"
    return problem


def _rows(caller: Caller, answer: Answer, tallies: dict[str, TypeCounts]) -> list[MatchRow]:
    """The matches as the ledger takes them: those of one hash are one hit, the nearest first."""
    rows: list[MatchRow] = []
    now, party, request, generation = now_ms(), caller.party.number, caller.request, answer.generation
    last: tuple[str, int] | None = None
    rank = 0
    for match in answer.matches:
        hash_type, distance = match.type, match.distance
        if (hash_type, match.index) != last:
            last, rank = (hash_type, match.index), 0
            tallies[hash_type].hits += 1
        for entry in match.entries:
            rows.append(match_row(now, party, request, generation, hash_type, distance, rank, entry))
            rank += 1
    return rows


def check_request(store: Store, request: CheckRequest, most: int, sets: frozenset[str] | None = None) -> Answer:
    """Check all hashes of a request against one generation.

    Args:
        store: with the sets.
        request: the hashes.
        most: entries to name for one hash, the nearest ones.
        sets: names of the match sets that count; None: all.
    """
    with store.read() as snapshot:
        checked: dict[str, int] = {}
        matches: list[NamedMatch] = []
        for asked in request.asked:
            checked[asked.hash_type.name] = checked.get(asked.hash_type.name, 0) + len(asked.digests)
            found = snapshot.match(
                asked.hash_type,
                asked.digests,
                max_distance=request.max_distance.get(asked.hash_type.name),
                most=most,
                sets=sets,
            )
            if len(found):
                matches.extend(_name(snapshot, asked, found))
        return Answer(
            snapshot.generation, checked, matches, request.invalid, snapshot.store_id, snapshot.state(sets)
        )


def _name(snapshot: Snapshot, asked: Asked, found: Matches) -> list[NamedMatch]:
    """Name the entries found; entries of one hash at one distance make one match.

    An entry whose hashes are in several rows of a set, tied by its external id, is named once, at
    the nearest distance.
    """
    named: list[NamedMatch] = []
    last = (-1, -1)
    told: set[tuple[str, str]] = set()
    entries = snapshot.entries(found)
    pairs = zip(found.queries.tolist(), found.distances.tolist(), strict=True)
    for (query, distance), entry in zip(pairs, entries, strict=True):
        if query != last[0]:
            told.clear()
        if entry.id is not None:
            if (entry.set, entry.id) in told:
                continue
            told.add((entry.set, entry.id))
        if (query, distance) != last:
            index = query if asked.index is None else int(asked.index[query])
            digest = asked.digests[query].tobytes()
            named.append(NamedMatch(asked.hash_type.name, index, digest, distance, [], query in found.truncated))
            last = (query, distance)
        named[-1].entries.append(entry)
    return named
