"""The annual report: what it shows, and the page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hashcore import Snapshot
from hashserver.reports.charts import Chart, Series, columns, rows
from hashserver.reports.figures import Period, Usage, measure
from hashserver.reports.figures.entries import Group
from hashserver.reports.figures.phases import (
    BULK_DAYS,
    BULK_FACTOR,
    LEAST_DAYS,
    Phase,
    PhaseMonth,
    phases_by_month,
)
from hashserver.reports.figures.usage import Line, Scope, total_of
from hashserver.reports.pages.numbers import Numbers
from hashserver.reports.pages.pages import fill
from hashserver.reports.pages.words import words_for

_MOST_BARS = 30
_MOST_REPEATED = 12
_SPREAD = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 1 << 30))


@dataclass(frozen=True, slots=True)
class AnnualFigures:
    """What a year's report is made from.

    Args:
        year: of the calendar, UTC.
        usage: all of its figures.
        before: the totals of the year before.
        phases: first bulk checks and steady state, by month.
    """

    year: int
    usage: Usage
    before: Line
    phases: list[PhaseMonth]

    @property
    def quarters(self) -> list[Line]:
        """Sums of three months each."""
        months = self.usage.months
        return [_sum(f"{place // 3 + 1}", months[place : place + 3]) for place in range(0, 12, 3)]

    @property
    def bulk(self) -> Phase:
        """All first bulk checks of the year."""
        return _sum_phases(month.bulk for month in self.phases)

    @property
    def steady(self) -> Phase:
        """All other checks of the year."""
        return _sum_phases(month.steady for month in self.phases)

    @property
    def joined(self) -> int:
        """Parties that began to check in the year."""
        return sum(month.joined for month in self.phases)


def collect(connection: sqlite3.Connection, year: int, snapshot: Snapshot | None = None) -> AnnualFigures:
    """Measure a year.

    Args:
        connection: to a ledger.
        year: of the calendar.
        snapshot: what the sets hold now, or None.

    Raises:
        BadPeriod: there is no such year.
    """
    period = Period.of_year(year)
    usage = measure(connection, period, snapshot=snapshot, most=_MOST_REPEATED)
    before = total_of(connection, Scope(Period.of_year(year - 1)), "total")
    return AnnualFigures(year, usage, before, phases_by_month(connection, period))


def render(figures: AnnualFigures, language: str, *, anonymous: bool = False) -> str:
    """The report as one HTML file.

    Args:
        figures: of the year.
        language: nl or en.
        anonymous: number the parties rather than name them.
    """
    draw = _Charts(figures, language)
    parties = figures.usage.parties
    if anonymous:
        named = draw.words["party_number"]
        parties = [replace(line, name=named.format(number=place)) for place, line in enumerate(parties, 1)]
    distances = {
        hash_type: lines
        for hash_type, lines in _distances(figures.usage.distances).items()
        if any(int(one.name) for one in lines)
    }
    return fill(
        "annual.html",
        language,
        f=figures,
        u=figures.usage,
        parties=parties,
        spread=draw.spread,
        distances=distances,
        charts={**draw.charts(), "parties_hits": draw.lines("c_parties_hits", parties[:_MOST_BARS])},
        distance_charts={hash_type: draw.distances(hash_type, lines) for hash_type, lines in distances.items()},
        bulk={"days": BULK_DAYS, "factor": f"{BULK_FACTOR:g}", "least": LEAST_DAYS},
    )


class _Charts:
    """Draws the charts of a report."""

    def __init__(self, figures: AnnualFigures, language: str) -> None:
        self._figures, self._usage = figures, figures.usage
        self.words, self._numbers = words_for(language), Numbers(language)
        self._months = [self._numbers.month(line.name) for line in self._usage.months]

    @property
    def spread(self) -> list[Group]:
        """Entries by the number of parties that had them, large numbers together."""
        entries = self._usage.entries
        return [] if entries is None else _spread(entries.parties)

    def charts(self) -> dict[str, Chart]:
        """All that do not depend on how parties are named."""
        usage, phases = self._usage, self._figures.phases
        charts = {
            "checks": self._columns("c_checks", {"checks": [line.checked or 0 for line in usage.months]}),
            "hits": self._columns("c_hits", {"hits": [line.hits for line in usage.months]}, 2),
            "parties": self._columns(
                "c_parties",
                {
                    "connected": [one.parties - one.joined for one in phases],
                    "joined": [one.joined for one in phases],
                },
            ),
            "phases": self._columns(
                "c_phases",
                {"steady": [one.steady.checked for one in phases], "bulk": [one.bulk.checked for one in phases]},
            ),
            "categories": self.lines(
                "c_categories", [self._named(line) for line in usage.categories[:_MOST_BARS]]
            ),
            "sets": self.lines("c_sets", usage.sets[:_MOST_BARS]),
            "types": self.lines("c_types", usage.types),
        }
        return charts | self._entries()

    def lines(self, title: str, lines: Sequence[Line]) -> Chart:
        """Hits of some lines, one bar each."""
        return self._rows(title, [line.name for line in lines], {"hits": [line.hits for line in lines]}, 2)

    def distances(self, hash_type: str, lines: Sequence[Line]) -> Chart:
        """Hits of a hash type by distance."""
        return self._draw(
            f"c_distances-{hash_type}",
            self.words["c_distances"].format(type=hash_type),
            [line.name if int(line.name) % 5 == 0 else "" for line in lines],
            [Series(self.words["hits"], [line.hits for line in lines], 2)],
        )

    def _entries(self) -> dict[str, Chart]:
        usage, entries = self._usage, self._usage.entries
        assert entries is not None  # a year is of whole months
        fresh = [line.fresh or 0 for line in usage.months]
        known = [(line.entries or 0) - (line.fresh or 0) for line in usage.months]
        never = usage.never_hit or []
        return {
            "entries": self._columns("c_entries", {"known": known, "fresh": fresh}),
            "repeats": self._rows(
                "c_repeats",
                [group.name for group in entries.repeats],
                {"entries": [group.entries for group in entries.repeats]},
            ),
            "spread": self._rows(
                "c_spread",
                [group.name for group in self.spread],
                {"entries": [group.entries for group in self.spread]},
            ),
            "age": self._rows(
                "c_age",
                [self.words[group.name] for group in entries.ages],
                {"entries": [group.entries for group in entries.ages]},
            ),
            "never": self._rows(
                "c_never",
                [line.set for line in never],
                {"ever": [line.entries - line.never for line in never], "never": [line.never for line in never]},
            ),
        }

    def _named(self, line: Line) -> Line:
        return replace(line, name=line.name or self.words["none"])

    def _columns(self, title: str, series: dict[str, Sequence[float]], colour: int = 1) -> Chart:
        return self._draw(title, self.words[title], self._months, self._series(series, colour))

    def _draw(self, identity: str, title: str, names: Sequence[str], series: list[Series]) -> Chart:
        described = self._described(names, series)
        return columns(identity, title, described, names, series, self._numbers.short, self._numbers.whole)

    def _rows(
        self, title: str, names: Sequence[str], series: dict[str, Sequence[float]], colour: int = 1
    ) -> Chart:
        drawn = self._series(series, colour)
        described = self._described(names, drawn)
        return rows(title, self.words[title], described, names, drawn, self._numbers.short, self._numbers.whole)

    def _series(self, series: dict[str, Sequence[float]], colour: int) -> list[Series]:
        return [
            Series(self.words[key], values, colour + place) for place, (key, values) in enumerate(series.items())
        ]

    def _described(self, names: Sequence[str], series: list[Series]) -> str:
        """The values in words, for those who cannot see the picture."""
        parts = []
        for one in series:
            values = (
                f"{name} {self._numbers.whole(value)}" for name, value in zip(names, one.values, strict=True)
            )
            parts.append(f"{one.label}: {', '.join(values)}")
        return "; ".join(parts)


def _distances(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Lines by hash type, named by their distance alone; distances without hits are filled in."""
    by_type: dict[str, dict[int, Line]] = {}
    for line in lines:
        hash_type, distance = line.name.split()
        by_type.setdefault(hash_type, {})[int(distance)] = replace(line, name=distance)
    return {
        hash_type: [found.get(distance, Line(str(distance), None, 0, 0)) for distance in range(max(found) + 1)]
        for hash_type, found in by_type.items()
    }


def _spread(groups: Sequence[Group]) -> list[Group]:
    merged = []
    for least, most in _SPREAD:
        inside = [group for group in groups if least <= int(group.name) <= most]
        if inside:
            name = str(least) if least == most else f"{least}–{most}" if most < _SPREAD[-1][1] else f"{least}+"
            matches = sum(group.matches for group in inside)
            merged.append(Group(name, sum(group.entries for group in inside), matches))
    return merged


def _sum(name: str, lines: Sequence[Line]) -> Line:
    checked = sum(line.checked or 0 for line in lines)
    return Line(name, checked, sum(line.hits for line in lines), sum(line.matches for line in lines))


def _sum_phases(phases: Iterable[Phase]) -> Phase:
    checked = hits = 0
    for phase in phases:
        checked, hits = checked + phase.checked, hits + phase.hits
    return Phase(checked, hits)
