"""The hotline's reports by provider and month, beside the months in which providers connected."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from hashserver.errors import BadInput
from hashserver.ledger.tables.counts import first_hours
from hashserver.ledger.tables.parties import all_parties
from hashserver.times import HOUR_MS, month_number, month_of, name_of_month

COLUMNS = ("date", "provider", "urls")
NEVER = 1 << 30
"""The month of connection of a provider that never connected."""


class BadReports(BadInput, ValueError):
    """The reports cannot be read, or say too little; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Panel:
    """n providers over t months.

    Args:
        providers: names, as first written in the reports.
        months: names such as 2020-03, without gaps.
        urls: float64[n, t], reported URLs; 0 where a provider was not reported.
        connected: int64[n], the number of the column in which each connected: below 0 before all of
            them, NEVER if it is no party.
        unreported: parties that no report names.
    """

    providers: list[str]
    months: list[str]
    urls: NDArray[np.float64]
    connected: NDArray[np.int64]
    unreported: list[str]


def read_panel(file: Path, connections: dict[str, int]) -> Panel:
    """Read reports: CSV with the columns date (2020-03-01), provider and urls.

    Columns are separated by commas or semicolons.

    Args:
        file: to read.
        connections: month (since 1970) of connection by party.

    Raises:
        BadReports: a column is missing, a line cannot be read, or there is none.
    """
    sums: dict[str, dict[int, int]] = {}
    names: dict[str, str] = {}
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        for month, provider, urls in _read(stream, file):
            names.setdefault(_key(provider), provider)
            by_month = sums.setdefault(_key(provider), {})
            by_month[month] = by_month.get(month, 0) + urls
    if not sums:
        raise BadReports(f"{file} holds no reports; add lines such as 2020-03-01,Example Hosting,17")
    first = min(min(by_month) for by_month in sums.values())
    last = max(max(by_month) for by_month in sums.values())
    urls_by_month = np.zeros((len(sums), last - first + 1))
    for row, by_month in enumerate(sums.values()):
        for month, count in by_month.items():
            urls_by_month[row, month - first] = count
    known = {_key(name): month for name, month in connections.items()}
    connected = [known[key] - first if key in known else NEVER for key in sums]
    unreported = sorted(name for name in connections if _key(name) not in sums)
    months = [name_of_month(month) for month in range(first, last + 1)]
    return Panel(list(names.values()), months, urls_by_month, np.array(connected), unreported)


def connections_of(connection: sqlite3.Connection, *, by_first_check: bool = True) -> dict[str, int]:
    """The month (since 1970) in which each party connected.

    Args:
        connection: to a ledger.
        by_first_check: the month of its first check, not that in which the party was created;
            parties that never checked are left out then.
    """
    first = first_hours(connection)
    months = {}
    for party in all_parties(connection):
        if not by_first_check:
            months[party.name] = month_of(party.created)
        elif party.number in first:
            months[party.name] = month_of(first[party.number] * HOUR_MS)
    return months


def _key(name: str) -> str:
    """Names are equal whatever their case and their spaces."""
    return " ".join(name.casefold().split())


def _read(stream: TextIO, file: Path) -> Iterator[tuple[int, str, int]]:
    heading = stream.readline()
    delimiter = ";" if ";" in heading else ","
    columns = [name.strip().strip('"').casefold() for name in heading.split(delimiter)]
    if missing := [name for name in COLUMNS if name not in columns]:
        raise BadReports(
            f"{file} has no column {' or '.join(missing)} in its first line; name its columns date, provider, urls"
        )
    places = [columns.index(name) for name in COLUMNS]
    reader = csv.reader(stream, delimiter=delimiter)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            day, provider, urls = (cells[place].strip() for place in places)
        except IndexError:
            raise BadReports(f"{file} line {reader.line_num + 1}: a cell is missing") from None
        yield _month(day, file, reader.line_num + 1), provider, _count(urls, file, reader.line_num + 1)


def _month(text: str, file: Path, line: int) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadReports(f"{file} line {line}: {text!r} is not a date such as 2020-03-01") from None
    return month_number(day)


def _count(text: str, file: Path, line: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadReports(f"{file} line {line}: {text!r} is not a number of URLs")
    return int(text)
