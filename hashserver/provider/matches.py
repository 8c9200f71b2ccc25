"""Writing what matched: CSV for people, JSON lines for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TextIO

import orjson

from hashcore.text.printable import printable
from hashserver.csv_writer import CsvWriter
from hashserver.provider.errors import ReportError


@dataclass(frozen=True, slots=True)
class LineMatch:
    """One entry that one line of a listing matched."""

    line: int
    name: str | None
    type: str
    hash: str
    distance: int
    set: str
    category: str | None
    id: str | None


class Report(Protocol):
    """Takes matches, one at a time."""

    def add(self, match: LineMatch) -> None:
        """Write a match."""


class CsvReport:
    """CSV with a header, for people: a row is a line, with nothing that a terminal would obey."""

    def __init__(self, file: TextIO) -> None:
        self._writer = CsvWriter(file)
        self._writer.write_row(LineMatch.__slots__)

    def add(self, match: LineMatch) -> None:
        """Write a match."""
        cells = (getattr(match, column) for column in LineMatch.__slots__)
        self._writer.write_row(printable(cell) if isinstance(cell, str) else cell for cell in cells)


class JsonLinesReport:
    """One JSON object a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, match: LineMatch) -> None:
        """Write a match, with null for what it does not have.

        A name that is not UTF-8 is shown with replacement characters; `name_hex` has its bytes.
        """
        values = {
            name: _sound(value) if isinstance(value, str) else value for name, value in asdict(match).items()
        }
        if match.name is not None and values["name"] != match.name:
            values["name_hex"] = match.name.encode("utf-8", "surrogateescape").hex()
        self._file.write(orjson.dumps(values).decode() + "\n")


def _sound(text: str) -> str:
    """Text that JSON can hold; bytes that are not UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def report_format(chosen: str | None, path: Path | None) -> str:
    """The format to write: the one chosen, or the one that the file's name ends in; CSV otherwise.

    Raises:
        ReportError: the chosen one is neither csv nor jsonl.
    """
    if chosen is not None:
        if chosen not in ("csv", "jsonl"):
            raise ReportError(f"--output-format must be csv or jsonl, not {chosen!r}")
        return chosen
    return "jsonl" if path is not None and path.suffix in (".jsonl", ".ndjson", ".json") else "csv"


@contextmanager
def open_report(path: Path | None, chosen: str) -> Iterator[Report]:
    """A report in a file, or on standard output when path is None."""
    report = JsonLinesReport if chosen == "jsonl" else CsvReport
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        yield report(sys.stdout)
        return
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        yield report(file)
