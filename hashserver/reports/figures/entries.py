"""Which entries matched: distinct ones and repeats, at how many parties, how old, which most.

All of it is from `sightings`, which has a row for every month, entry and party, and outlives the
hits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from hashcore import Snapshot
from hashserver.ledger.entry_keys import split_keys
from hashserver.ledger.tables.entries import end_of_numbers, entries_of, keys_hit_before, read_entry
from hashserver.ledger.tables.sightings import first_at_party, last_sighting, sightings_of
from hashserver.times import DAY_MS, name_of_month, start_of_month

_ROWS = 1 << 18
AGES = {"a day": 1, "a week": 7, "a month": 30, "a year": 365, "2 years": 730, "5 years": 1826}
"""Bounds of the ages of entries, in days; older ones are "more"."""
REPEATS = (1, 2, 10, 100, 1000, 10_000)
"""Lower bounds of the groups of entries by how often they matched."""
TOPS = (10, 100, 1000, 10_000)
_SIGHTING = np.dtype([("month", "i4"), ("entry", "i8"), ("party", "i4"), ("matches", "i8")])


@dataclass(frozen=True, slots=True)
class Distinct:
    """Distinct entries by month, party (number), set and category; by month also the new ones."""

    months: dict[str, int] = field(default_factory=dict)
    fresh_months: dict[str, int] = field(default_factory=dict)
    parties: dict[int, int] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    categories: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the entries: how many there are, and how many matches they had."""

    name: str
    entries: int
    matches: int


@dataclass(frozen=True, slots=True)
class RepeatedEntry:
    """An entry that was matched often.

    Args:
        number: in the ledger.
        set, id, category: as it was when it was first hit.
        added, first_hit, last_hit: Unix milliseconds; the last one is of the period.
        matches: in the period.
        parties: that had it in the period.
    """

    number: int
    set: str
    id: str | None
    category: str | None
    added: int
    first_hit: int
    last_hit: int
    matches: int
    parties: int


@dataclass(frozen=True, slots=True)
class EntryFigures:
    """About the entries that were hit in a period.

    Args:
        distinct: how many.
        matches: how often, in all.
        fresh: of the distinct ones, those that were hit for the first time.
        at_several_parties: of the distinct ones, those that more than one party had.
        by: distinct ones by other things.
        parties: by how many parties had them.
        repeats: by how often they were matched.
        tops: the most repeated ones, and what they account for.
        ages: those hit for the first time, by their age then.
        median_age_days: of these; None if there are none.
        most_repeated: the first of them by matches.
    """

    distinct: int
    matches: int
    fresh: int
    at_several_parties: int
    by: Distinct
    parties: list[Group]
    repeats: list[Group]
    tops: list[Group]
    ages: list[Group]
    median_age_days: float | None
    most_repeated: list[RepeatedEntry]


@dataclass(frozen=True, slots=True)
class SetEntries:
    """A match set as it is now: its entries, and how many of them were ever hit."""

    set: str
    entries: int
    hit: int

    @property
    def never(self) -> int:
        """Entries that were never hit."""
        return self.entries - self.hit


@dataclass(frozen=True, slots=True)
class _Known:
    """The entries of the ledger, by number; number 0 stands for none.

    Args:
        names: distinct pairs of set and category.
        labels: int64[n], an index into them.
        added, first_hit: int64[n], Unix milliseconds.
    """

    names: list[tuple[str, str]]
    labels: NDArray[np.int64]
    added: NDArray[np.int64]
    first_hit: NDArray[np.int64]


def entry_figures(
    connection: sqlite3.Connection, months: range, *, party: int | None = None, most: int = 20
) -> EntryFigures:
    """Measure the entries that were hit in some months.

    Args:
        connection: to a ledger.
        months: since 1970.
        party: number of a party; None: all.
        most: how many of the most repeated entries to name.
    """
    seen = _read_sightings(connection, months, party)
    known = _read_known(connection)
    if party is not None:
        _read_first_hits(connection, party, known)
    size = len(known.added)
    matches = np.bincount(seen["entry"], seen["matches"], minlength=size).astype(np.int64)
    parties = np.bincount(_distinct_pairs(seen["entry"], seen["party"])[0], minlength=size)
    hit = np.flatnonzero(matches)
    start, end = start_of_month(months.start), start_of_month(months.stop)
    fresh = hit[(known.first_hit[hit] >= start) & (known.first_hit[hit] < end)]
    ages = (known.first_hit[fresh] - known.added[fresh]) / DAY_MS
    return EntryFigures(
        distinct=len(hit),
        matches=int(matches.sum()),
        fresh=len(fresh),
        at_several_parties=int((parties > 1).sum()),
        by=_distinct_by(seen, known, hit, fresh),
        parties=_by_parties(parties[hit], matches[hit]),
        repeats=_by_repeats(matches[hit]),
        tops=_tops(matches[hit]),
        ages=_by_age(ages, matches[fresh]),
        median_age_days=float(np.median(ages)) if len(ages) else None,
        most_repeated=_most_repeated(connection, months, party, matches, parties, known, most),
    )


def set_entries(connection: sqlite3.Connection, snapshot: Snapshot, before: int) -> list[SetEntries]:
    """How many entries that match sets hold now were hit before a time (Unix milliseconds).

    What was hit and has been withdrawn since is in neither figure.
    """
    keys: dict[str, list[str]] = {}
    for numbers in _ranges(connection):
        for name, key in zip(*keys_hit_before(connection, numbers, before), strict=True):
            keys.setdefault(name, []).append(key)
    return [
        SetEntries(name, entry.entries, snapshot.count_entries(name, *split_keys(keys.get(name, []))))
        for name, entry in sorted(snapshot.manifest.sets.items())
        if entry.role == "match"
    ]


def _read_known(connection: sqlite3.Connection) -> _Known:
    labels: dict[tuple[str, str], int] = {}
    columns = np.zeros((3, end_of_numbers(connection)), np.int64)
    for chosen in _ranges(connection):
        found = entries_of(connection, chosen)
        pairs = zip(found.set_names, found.categories, strict=True)
        codes = [labels.setdefault(pair, len(labels)) for pair in pairs]
        columns[:, found.numbers] = (codes, found.added, found.first_hit)
    return _Known(list(labels), *columns)


def _read_sightings(connection: sqlite3.Connection, months: range, party: int | None) -> NDArray[np.void]:
    parts = [np.empty(0, _SIGHTING)]
    for month, chosen in product(months, list(_ranges(connection))):
        found = sightings_of(connection, month, chosen, party)
        part = np.empty(len(found.entries), _SIGHTING)
        part["month"] = month
        part["entry"], part["party"], part["matches"] = found
        parts.append(part)
    return np.concatenate(parts)


def _ranges(connection: sqlite3.Connection) -> Iterator[range]:
    """All numbers of entries, in ranges small enough for a query to hand over every row at once."""
    for start in range(0, end_of_numbers(connection), _ROWS):
        yield range(start, start + _ROWS)


def _read_first_hits(connection: sqlite3.Connection, party: int, known: _Known) -> None:
    """Take the first hits at one party for those at any."""
    known.first_hit[:] = 0
    for entry, first in first_at_party(connection, party):
        known.first_hit[entry] = first


def _distinct_pairs(
    left: NDArray[np.int64], right: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    codes = np.sort(left * (1 << 20) + right)  # np.unique would hash them, which takes ten times as long
    codes = codes[np.diff(codes, prepend=-1) > 0]
    return codes >> 20, codes & ((1 << 20) - 1)


def _distinct_by(
    seen: NDArray[np.void], known: _Known, hit: NDArray[np.int64], fresh: NDArray[np.int64]
) -> Distinct:
    months = _distinct_pairs(seen["entry"], seen["month"])[1]
    parties = _distinct_pairs(seen["entry"], seen["party"])[1]
    fresh_months = known.first_hit[fresh].astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return Distinct(
        {name_of_month(month): count for month, count in _counts(months).items()},
        {name_of_month(month): count for month, count in _counts(fresh_months).items()},
        _counts(parties),
        _tally(known, hit, 0),
        _tally(known, hit, 1),
    )


def _counts(values: NDArray[np.int64]) -> dict[int, int]:
    counts = np.bincount(values)
    return {value: int(counts[value]) for value in np.flatnonzero(counts).tolist()}


def _tally(known: _Known, entries: NDArray[np.int64], which: int) -> dict[str, int]:
    """Entries by set (0) or category (1)."""
    tally: dict[str, int] = {}
    for label, count in _counts(known.labels[entries]).items():
        name = known.names[label][which]
        tally[name] = tally.get(name, 0) + count
    return tally


def _by_parties(parties: NDArray[np.int64], matches: NDArray[np.int64]) -> list[Group]:
    return [
        Group(str(count), int((parties == count).sum()), int(matches[parties == count].sum()))
        for count in np.unique(parties).tolist()
    ]


def _by_repeats(matches: NDArray[np.int64]) -> list[Group]:
    groups = []
    for least, end in pairwise([*REPEATS, np.iinfo(np.int64).max]):
        inside = (matches >= least) & (matches < end)
        name = str(least) if end == least + 1 else f"{least}-{end - 1}" if least != REPEATS[-1] else f"{least}+"
        groups.append(Group(name, int(inside.sum()), int(matches[inside].sum())))
    return groups


def _tops(matches: NDArray[np.int64]) -> list[Group]:
    ordered = np.sort(matches)[::-1]
    return [Group(f"top {top}", top, int(ordered[:top].sum())) for top in TOPS if top <= len(ordered)]


def _by_age(days: NDArray[np.float64], matches: NDArray[np.int64]) -> list[Group]:
    bounds = [*AGES.values(), np.inf]
    groups, below = [], -np.inf
    for name, bound in zip([*(f"< {age}" for age in AGES), "more"], bounds, strict=True):
        inside = (days >= below) & (days < bound)
        groups.append(Group(name, int(inside.sum()), int(matches[inside].sum())))
        below = bound
    return groups


def _most_repeated(
    connection: sqlite3.Connection,
    months: range,
    party: int | None,
    matches: NDArray[np.int64],
    parties: NDArray[np.int64],
    known: _Known,
    most: int,
) -> list[RepeatedEntry]:
    numbers = np.lexsort((np.arange(len(matches)), -matches))[:most]
    found = []
    for number in numbers[matches[numbers] > 0].tolist():
        entry = read_entry(connection, number)
        last = max(last_sighting(connection, month, number, party) or 0 for month in months)
        first = int(known.first_hit[number])
        found.append(RepeatedEntry(number, *entry, first, last, int(matches[number]), int(parties[number])))
    return found
