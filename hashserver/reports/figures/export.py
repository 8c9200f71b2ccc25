"""The figures of a period as JSON and as one CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from hashserver.csv_writer import CsvWriter
from hashserver.reports.figures.entries import Group, RepeatedEntry, SetEntries
from hashserver.reports.figures.usage import Line, Usage
from hashserver.times import timestamp

COLUMNS = (
    "table",
    "name",
    "checked",
    "hits",
    "per_million",
    "matches",
    "entries",
    "repeats",
    "fresh",
    "invalid",
    "parties",
    "never",
    "added",
    "first_hit",
    "last_hit",
)
"""Columns of the CSV, one long table: the table that a row belongs to, what it is about, and its
figures, empty where it has none."""


def as_json(usage: Usage) -> dict[str, Any]:
    """All figures, tables by name; what has no category has the category null."""
    entries = usage.entries
    described: dict[str, Any] = {
        "period": {"from": usage.period.start.isoformat(), "to": usage.period.last.isoformat()},
        "party": usage.party,
        "total": _line(usage.total),
    }
    for table, lines in _tables(usage).items():
        described[table] = [_line(line) for line in lines]
    described["categories"] = [{**_line(line), "name": line.name or None} for line in usage.categories]
    described["entries"] = entries and {
        "distinct": entries.distinct,
        "fresh": entries.fresh,
        "repeats": entries.matches - entries.distinct,
        "at_several_parties": entries.at_several_parties,
        "median_age_days": entries.median_age_days,
        **{name: [_group(group) for group in groups] for name, groups in _groups(usage).items()},
        "most_repeated": [_repeated(entry) for entry in entries.most_repeated],
    }
    described["never_hit"] = None if usage.never_hit is None else [_never(line) for line in usage.never_hit]
    return described


def write_csv(usage: Usage, file: TextIO) -> None:
    """Write all figures as one table of COLUMNS."""
    writer = CsvWriter(file)
    writer.write_row(COLUMNS)
    for row in _rows(usage):
        writer.write_row(row.get(column) for column in COLUMNS)


def entry_name(entry: RepeatedEntry) -> str:
    """Its external id, or its number in the ledger; never a hash."""
    return entry.id or f"entry {entry.number}"


def _rows(usage: Usage) -> Iterator[dict[str, Any]]:
    yield {"table": "total", **_line(usage.total)}
    for table, lines in _tables(usage).items():
        yield from ({"table": table, **_line(line)} for line in lines)
    for table, groups in _groups(usage).items():
        yield from ({"table": f"entries_by_{table}", **_group(group)} for group in groups)
    if usage.entries is not None:
        for entry in usage.entries.most_repeated:
            row = _repeated(entry)
            name = f"{row.pop('set')} {entry_name(entry)}"
            yield {"table": "most_repeated", "name": name, **{key: row[key] for key in row.keys() & set(COLUMNS)}}
    for line in usage.never_hit or ():
        row = _never(line)
        yield {"table": "never_hit", "name": row["set"], "entries": row["entries"], "never": row["never"]}


def _tables(usage: Usage) -> dict[str, list[Line]]:
    return {
        "months": usage.months,
        "parties": usage.parties,
        "types": usage.types,
        "sets": usage.sets,
        "categories": usage.categories,
        "distances": usage.distances,
    }


def _groups(usage: Usage) -> dict[str, list[Group]]:
    entries = usage.entries
    if entries is None:
        return {}
    return {"parties": entries.parties, "matches": entries.repeats, "age": entries.ages, "top": entries.tops}


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "checked": line.checked,
        "hits": line.hits,
        "per_million": None if line.per_million is None else round(line.per_million, 3),
        "matches": line.matches,
        "entries": line.entries,
        "repeats": line.repeats,
        "fresh": line.fresh,
        "invalid": line.invalid,
    }


def _group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "entries": group.entries, "matches": group.matches}


def _repeated(entry: RepeatedEntry) -> dict[str, Any]:
    return {
        "entry": entry.number,
        "set": entry.set,
        "id": entry.id,
        "category": entry.category,
        "added": timestamp(entry.added / 1000),
        "first_hit": timestamp(entry.first_hit / 1000),
        "last_hit": timestamp(entry.last_hit / 1000),
        "matches": entry.matches,
        "parties": entry.parties,
    }


def _never(line: SetEntries) -> dict[str, Any]:
    return {"set": line.set, "entries": line.entries, "hit": line.hit, "never": line.never}
