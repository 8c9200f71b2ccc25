"""A request's hashes against a snapshot: arrays in, named matches out."""

from __future__ import annotations

from hashcore import Matches, Snapshot, Store
from hashserver.server.answers import Answer, Match
from hashserver.server.bodies.request import Asked, CheckRequest


def check_request(store: Store, request: CheckRequest, most: int, sets: frozenset[str] | None = None) -> Answer:
    """Check all hashes of a request against one generation.

    Args:
        store: of the sets.
        request: what is asked.
        most: entries to name for one hash, the nearest ones.
        sets: names of the match sets that count; None: all.
    """
    with store.read() as snapshot:
        checked: dict[str, int] = {}
        matches: list[Match] = []
        for asked in request.asked:
            checked[asked.kind.name] = checked.get(asked.kind.name, 0) + len(asked.digests)
            found = snapshot.match(
                asked.kind,
                asked.digests,
                max_distance=request.max_distance.get(asked.kind.name),
                most=most,
                sets=sets,
            )
            if len(found):
                matches.extend(_name(snapshot, asked, found))
        return Answer(snapshot.generation, checked, matches, request.invalid)


def _name(snapshot: Snapshot, asked: Asked, found: Matches) -> list[Match]:
    """Name the entries found; entries of one hash at one distance make one match.

    An item whose hashes stand in several rows of a set, tied by its external id, is named once, at the
    nearest distance.
    """
    named: list[Match] = []
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
            named.append(Match(asked.kind.name, index, digest, distance, [], query in found.truncated))
            last = (query, distance)
        named[-1].entries.append(entry)
    return named
