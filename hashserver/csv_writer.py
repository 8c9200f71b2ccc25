"""Writing CSV: lines end in LF, for grep and cut, and spreadsheets run no cell as a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvWriter:
    """Writes rows of cells to a text file that was opened with `newline=""`, or to standard output.

    Args:
        file: to write to.
        as_they_are: write text unchanged, for programs that read it back. Otherwise what a
            spreadsheet would run as a formula gets a quote in front.
    """

    def __init__(self, file: TextIO, *, as_they_are: bool = False) -> None:
        self._file = file
        self._as_they_are = as_they_are
        # Only with CRLF as line ending, as in RFC 4180, does the writer quote cells with a lone CR.
        self._writer = csv.writer(self, lineterminator="\r\n")

    def write_row(self, cells: Iterable[object]) -> None:
        """Write one row; None becomes an empty cell."""
        if self._as_they_are:
            self._writer.writerow(cells)
        else:
            self._writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])

    def write(self, record: str) -> None:
        """Write a record that the csv module made, with LF as its line ending."""
        self._file.write(record.removesuffix("\r\n") + "\n")


def harmless(cell: str) -> str:
    """The cell, with a quote in front if a spreadsheet would run it as a formula."""
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell
