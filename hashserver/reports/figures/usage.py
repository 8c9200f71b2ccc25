"""What was checked and what was hit in a period, by everything that the ledger keeps of it.

Hits and matches are from `hit_days`, which is on disk before an answer leaves; checks are from
`counts`, which may lack the last second before a crash. A hit counts once, for the set, category
and distance of its nearest match; matches count every entry that a hit named.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from hashcore import Snapshot
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
        never_hit: by set; None without a store, or for one party.
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

    @property
    def parameters(self) -> dict[str, int | None]:
        """For the queries below."""
        days, hours = self.period.days, self.period.hours
        return {
            "first_day": days.start,
            "end_day": days.stop,
            "first_hour": hours.start,
            "end_hour": hours.stop,
            "party": self.party,
        }


def measure(
    connection: sqlite3.Connection,
    period: Period,
    *,
    party: int | None = None,
    store: Snapshot | None = None,
    most: int = 20,
) -> Usage:
    """Measure a period.

    Args:
        connection: to a ledger.
        period: of days.
        party: number of a party; None: all.
        store: what the sets hold now, for the entries that never hit.
        most: how many of the most repeated entries to name.
    """
    scope = Scope(period, party)
    names = party_names(connection)
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
    total = total_of(connection, scope, "total")
    if entries is not None:
        total = replace(total, entries=entries.distinct, fresh=entries.fresh)
    never = None if store is None or party is not None else set_entries(connection, store, period.end_ms)
    return Usage(
        period,
        None if party is None else names.get(party, f"party {party}"),
        total,
        months,
        _parties(connection, scope, names, distinct, entries is not None),
        _types(connection, scope),
        _by(connection, _SETS, scope, distinct.sets if entries else None),
        _by(connection, _CATEGORIES, scope, distinct.categories if entries else None),
        _by(connection, _DISTANCES, scope, None),
        entries,
        never,
    )


def party_names(connection: sqlite3.Connection) -> dict[int, str]:
    """Names by number; number 0 is whoever asks while no party is configured."""
    return {LOCAL.number: LOCAL.name, **dict(connection.execute("SELECT id, name FROM parties"))}


def total_of(connection: sqlite3.Connection, scope: Scope, name: str) -> Line:
    """All of a period."""
    checked, invalid = connection.execute(_CHECKED, scope.parameters).fetchone()
    hits, matches = connection.execute(_HITS, scope.parameters).fetchone()
    return Line(name, checked, hits, matches, invalid=invalid)


def _parties(
    connection: sqlite3.Connection, scope: Scope, names: dict[int, str], distinct: Distinct, known: bool
) -> list[Line]:
    checked: dict[int, tuple[int, int]] = _sums(connection, _CHECKED_BY_PARTY, scope)
    hits: dict[int, tuple[int, int]] = _sums(connection, _PARTIES, scope)
    lines = [
        replace(
            _line(names.get(number, f"party {number}"), checked.get(number), hits.get(number)),
            entries=distinct.parties.get(number, 0) if known else None,
        )
        for number in checked.keys() | hits.keys()
    ]
    return _sorted(lines)


def _types(connection: sqlite3.Connection, scope: Scope) -> list[Line]:
    checked: dict[str, tuple[int, int]] = _sums(connection, _CHECKED_BY_TYPE, scope)
    hits: dict[str, tuple[int, int]] = _sums(connection, _TYPES, scope)
    return _sorted([_line(name, checked.get(name), hits.get(name)) for name in checked.keys() | hits.keys()])


def _line(name: str, checked: tuple[int, int] | None, hits: tuple[int, int] | None) -> Line:
    """A line of checks and invalid hashes, and of hits and matches, where there are any."""
    (checks, invalid), (hit, matches) = checked or (0, 0), hits or (0, 0)
    return Line(name, checks, hit, matches, invalid=invalid)


def _by(connection: sqlite3.Connection, query: str, scope: Scope, distinct: dict[str, int] | None) -> list[Line]:
    """Lines of a query that gives name, hits and matches."""
    rows = connection.execute(query, scope.parameters)
    return [
        Line(name, None, hits, matches, None if distinct is None else distinct.get(name, 0))
        for name, hits, matches in rows
    ]


def _sums(connection: sqlite3.Connection, query: str, scope: Scope) -> dict[Any, tuple[int, int]]:
    return {key: (first, second) for key, first, second in connection.execute(query, scope.parameters)}


def _sorted(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-line.hits, -(line.checked or 0), line.name))


# The texts below are put together from constants only; what is asked about goes in as parameters.
_HOURS = "FROM counts WHERE hour >= :first_hour AND hour < :end_hour AND (:party IS NULL OR party = :party)"
_DAYS = "FROM hit_days WHERE day >= :first_day AND day < :end_day AND (:party IS NULL OR party = :party)"
_SUMS = "coalesce(sum(hits), 0), coalesce(sum(matches), 0)"
_COUNTED = "coalesce(sum(checked), 0), coalesce(sum(invalid), 0)"

_CHECKED = f"SELECT {_COUNTED} {_HOURS}"
_CHECKED_BY_PARTY = f"SELECT party, {_COUNTED} {_HOURS} GROUP BY party"
_CHECKED_BY_TYPE = f"SELECT type, {_COUNTED} {_HOURS} GROUP BY type"
_HITS = f"SELECT {_SUMS} {_DAYS}"
_PARTIES = f"SELECT party, {_SUMS} {_DAYS} GROUP BY party"
_TYPES = f"SELECT type, {_SUMS} {_DAYS} GROUP BY type"
_SETS = f"SELECT set_name, {_SUMS} {_DAYS} GROUP BY set_name ORDER BY 2 DESC, 1"
_CATEGORIES = f"SELECT category, {_SUMS} {_DAYS} GROUP BY category ORDER BY 2 DESC, 1"
_DISTANCES = f"SELECT type || ' ' || distance, {_SUMS} {_DAYS} GROUP BY type, distance ORDER BY type, distance"
