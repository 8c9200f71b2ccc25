"""Writing CSV: lines end in LF, for grep and cut, and no cell is a formula for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvWriter:
    """Writes rows of cells to a text file that was opened with `newline=""`, or to standard output.

    Args:
        file: to write to.
        as_they_are: write text as it is, for a program that reads it back, rather than put a quote
            in front of what a spreadsheet would run as a formula.
    """

    def __init__(self, file: TextIO, *, as_they_are: bool = False) -> None:
        self._file = file
        self._as_they_are = as_they_are
        # The writer quotes cells with a lone CR only if lines end in CRLF, as they do in RFC 4180.
        self._writer = csv.writer(self, lineterminator="\r\n")

    def write_row(self, cells: Iterable[object]) -> None:
        """Write one row; None is an empty cell."""
        if self._as_they_are:
            self._writer.writerow(cells)
        else:
            self._writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])

    def write(self, record: str) -> None:
        """Take a record from the csv module."""
        self._file.write(record.removesuffix("\r\n") + "\n")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell
