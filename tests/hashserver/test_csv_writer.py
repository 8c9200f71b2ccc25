"""CSV that is read back as it was written, line by line, and runs nowhere."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.csv_writer import CsvWriter, harmless

cells = st.one_of(
    st.none(), st.integers(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


def written(rows: list[list[object]], *, as_they_are: bool) -> str:
    file = io.StringIO(newline="")
    writer = CsvWriter(file, as_they_are=as_they_are)
    for row in rows:
        writer.write_row(row)
    return file.getvalue()


@given(st.lists(st.lists(cells, min_size=2, max_size=4), max_size=4))
def test_text_for_programs_is_read_back_as_it_was(rows: list[list[object]]) -> None:
    text = written(rows, as_they_are=True)
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["" if cell is None else str(cell) for cell in row] for row in rows
    ]


@given(st.lists(st.lists(cells, min_size=2, max_size=4), max_size=4))
def test_no_cell_for_people_is_a_formula(rows: list[list[object]]) -> None:
    for row in csv.reader(io.StringIO(written(rows, as_they_are=False), newline="")):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r")) or cell.lstrip("-").isdigit()


def test_lines_end_in_lf() -> None:
    assert written([["a", 1], ["b,c", None]], as_they_are=False) == 'a,1\n"b,c",\n'


def test_a_lone_cr_is_quoted() -> None:
    assert written([["a\rb", 1]], as_they_are=False) == '"a\rb",1\n'


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_what_a_spreadsheet_would_run_gets_a_quote(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert harmless("x" + cell) == "x" + cell
