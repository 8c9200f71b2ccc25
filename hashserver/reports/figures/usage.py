"""What was checked and what was hit in a period, by everything that the ledger keeps of it.

Hits and matches are from `hit_days`, which is on disk before an answer leaves; checks are from
`counts`, which may lack the last second before a crash. A hit counts once, for the set, category
and distance of its nearest match; matches count every entry that a hit named.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from hashcore import Snapshot
from hashserver.ledger.tables.counts import CountSums, counts_by_party, counts_by_type, sum_counts
from hashserver.ledger.tables.hit_days import (
    HitSums,
    hits_by_category,
    hits_by_distance,
    hits_by_party,
    hits_by_set,
    hits_by_type,
    sum_hits,
)
from hashserver.ledger.tables.parties import party_names
from hashserver.parties import LOCAL
from hashserver.reports.figures.entries import Distinct, EntryFigures, SetEntries, entry_figures, set_entries
from hashserver.reports.period import Period


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one month, party, set...

    Args:
        name: of what.
        checked: checks, or None where they have no such property: a check that misses has no set.
        hits: checks that matched.
        matches: entries that they named.
        entries: distinct ones among these, or None where that is not kept.
        fresh: those of them that were never hit before, or None where that is not known.
        invalid: hashes that could not be read, or None.
    """

    name: str
    checked: int | None
    hits: int
    matches: int
    entries: int | None = None
    fresh: int | None = None
    invalid: int | None = None

    @property
    def per_million(self) -> float | None:
        """Hits per million checks."""
        return self.hits * 1e6 / self.checked if self.checked else None

    @property
    def repeats(self) -> int | None:
        """Matches beyond the first of each entry."""
        return None if self.entries is None else self.matches - self.entries


@dataclass(frozen=True, slots=True)
class Usage:
    """All figures of a period.

    Args:
        period: of days, UTC.
        party: whose, or None for all.
        total: name "total".
        months, parties, types, sets, categories, distances: one line each, parties and sets by
            hits; distances are named `TYPE DISTANCE`, as types measure them differently.
        entries: about entries; None where the period is not of whole months, by which they are
            kept.
        never_hit: by set; None without a snapshot, or for one party.
    """

    period: Period
    party: str | None
    total: Line
    months: list[Line]
    parties: list[Line]
    types: list[Line]
    sets: list[Line]
    categories: list[Line]
    distances: list[Line]
    entries: EntryFigures | None
    never_hit: list[SetEntries] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about: a period, and the number of a party, or None for all."""

    period: Period
    party: int | None = None


def measure(
    connection: sqlite3.Connection,
    period: Period,
    *,
    party: int | None = None,
    snapshot: Snapshot | None = None,
    most: int = 20,
) -> Usage:
    """Measure a period.

    Args:
        connection: to a ledger.
        period: of days.
        party: number of a party; None: all.
        snapshot: what the sets hold now, for the entries that never hit.
        most: how many of the most repeated entries to name.
    """
    scope = Scope(period, party)
    names = names_of_parties(connection)
    entries = None
    if period.is_whole_months:
        entries = entry_figures(connection, period.months, party=party, most=most)
    distinct = Distinct() if entries is None else entries.by
    months = [
        replace(
            total_of(connection, Scope(part, party), name),
            entries=distinct.months.get(name, 0) if entries else None,
            fresh=distinct.fresh_months.get(name, 0) if entries else None,
        )
        for name, part in period.by_month()
    ]
    types = _types(connection, scope)
    total = _total(types)  # every check and hit is of one type
    if entries is not None:
        total = replace(total, entries=entries.distinct, fresh=entries.fresh)
    distances = hits_by_distance(connection, period.days, party)
    never = None if snapshot is None or party is not None else set_entries(connection, snapshot, period.end_ms)
    return Usage(
        period,
        None if party is None else names.get(party, f"party {party}"),
        total,
        months,
        _parties(connection, scope, names, distinct, entries is not None),
        types,
        _lines(hits_by_set(connection, period.days, party), distinct.sets if entries else None),
        _lines(hits_by_category(connection, period.days, party), distinct.categories if entries else None),
        _lines({f"{hash_type} {distance}": sums for (hash_type, distance), sums in distances.items()}, None),
        entries,
        never,
    )


def names_of_parties(connection: sqlite3.Connection) -> dict[int, str]:
    """Names by number; number 0 stands for everybody while no party is configured."""
    return {LOCAL.number: LOCAL.name, **party_names(connection)}


def total_of(connection: sqlite3.Connection, scope: Scope, name: str) -> Line:
    """Everything in a period, as one line of some name."""
    counts = sum_counts(connection, scope.period.hours, scope.party)
    hits = sum_hits(connection, scope.period.days, scope.party)
    return _line(name, counts, hits)


def _total(lines: list[Line]) -> Line:
    checked, invalid = (sum(getattr(line, name) or 0 for line in lines) for name in ("checked", "invalid"))
    hits, matches = sum(line.hits for line in lines), sum(line.matches for line in lines)
    return Line("total", checked, hits, matches, invalid=invalid)


def _parties(
    connection: sqlite3.Connection, scope: Scope, names: dict[int, str], distinct: Distinct, known: bool
) -> list[Line]:
    counts = counts_by_party(connection, scope.period.hours, scope.party)
    hits = hits_by_party(connection, scope.period.days, scope.party)
    lines = [
        replace(
            _line(names.get(number, f"party {number}"), counts.get(number), hits.get(number)),
            entries=distinct.parties.get(number, 0) if known else None,
        )
        for number in counts.keys() | hits.keys()
    ]
    return _sorted(lines)


def _types(connection: sqlite3.Connection, scope: Scope) -> list[Line]:
    counts = counts_by_type(connection, scope.period.hours, scope.party)
    hits = hits_by_type(connection, scope.period.days, scope.party)
    return _sorted([_line(name, counts.get(name), hits.get(name)) for name in counts.keys() | hits.keys()])


def _line(name: str, counts: CountSums | None, hits: HitSums | None) -> Line:
    """A line of checks and invalid hashes, and of hits and matches, where there are any."""
    counts, hits = counts or CountSums(), hits or HitSums()
    return Line(name, counts.checked, hits.hits, hits.matches, invalid=counts.invalid)


def _lines(hits: dict[str, HitSums], distinct: dict[str, int] | None) -> list[Line]:
    """Lines of what no check has unless it matches."""
    return [
        Line(name, None, *sums, entries=None if distinct is None else distinct.get(name, 0))
        for name, sums in hits.items()
    ]


def _sorted(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-line.hits, -(line.checked or 0), line.name))
