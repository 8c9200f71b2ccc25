"""Tests of `hashserver.provider.matches`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.text.printable import printable
from hashserver.csv_writer import harmless
from hashserver.provider.errors import ReportError
from hashserver.provider.matches import CsvReport, JsonLinesReport, LineMatch, open_report, report_format

MATCH = LineMatch(
    line=7,
    name="a b.jpg",
    type="md5",
    hash="9e107d9d372bb6826bd81d3542a419d6",
    distance=0,
    set="police",
    category="baseline",
    id="A-17",
)
COLUMNS = [column.name for column in fields(LineMatch)]
NOT_UTF8 = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")


def as_csv(*matches: LineMatch) -> list[list[str]]:
    file = io.StringIO(newline="")
    report = CsvReport(file)
    for match in matches:
        report.add(match)
    return list(csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True))


def test_csv_has_a_header_and_a_record_for_each_match() -> None:
    assert as_csv(MATCH, replace(MATCH, name=None, category=None, id=None, distance=12)) == [
        ["line", "name", "type", "hash", "distance", "set", "category", "id"],
        ["7", "a b.jpg", "md5", MATCH.hash, "0", "police", "baseline", "A-17"],
        ["7", "", "md5", MATCH.hash, "12", "police", "", ""],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("column", ["name", "set", "category", "id"])
def test_no_cell_is_run_as_a_formula(start: str, column: str) -> None:
    cell = f'{start}cmd|" /C calc"!A0'
    record = as_csv(replace(MATCH, **{column: cell}))[1]
    assert record[COLUMNS.index(column)] == harmless(printable(cell)) != cell


TEXTS = st.one_of(
    st.none(),
    st.text(st.sampled_from(list("ab ,;'\"\n\r\t=+-@é\0")), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(replace, st.just(MATCH), name=TEXTS, category=TEXTS, id=TEXTS), max_size=4))
def test_csv_reads_back_on_one_line_whatever_the_cells_hold(matches: list[LineMatch]) -> None:
    records = as_csv(*matches)[1:]
    assert len(records) == len(matches)
    for record, match in zip(records, matches, strict=True):
        for cell, value in zip(record, asdict(match).values(), strict=True):
            text = "" if value is None else str(value)
            assert cell == harmless(printable(text))
            assert not set(cell) & set("\n\r\t\0")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(replace, st.just(MATCH), name=TEXTS, category=TEXTS, id=TEXTS), max_size=4))
def test_json_has_an_object_a_line_with_every_value_as_it_was(matches: list[LineMatch]) -> None:
    file = io.StringIO(newline="")
    report = JsonLinesReport(file)
    for match in matches:
        report.add(match)
    lines = file.getvalue().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [asdict(match) for match in matches]


@pytest.mark.parametrize("chosen", ["csv", "jsonl"])
def test_a_name_that_is_not_utf8_is_reported_in_a_file(tmp_path: Path, chosen: str) -> None:
    path = tmp_path / "hits"
    with open_report(path, chosen) as report:
        report.add(replace(MATCH, name=NOT_UTF8))
    written = path.read_bytes()
    if chosen == "csv":
        assert b",caf\\xe9.jpg," in b"," + written.splitlines()[1]
    else:
        told = json.loads(written)
        assert told["name"] == "caf\ufffd.jpg"
        assert bytes.fromhex(told["name_hex"]) == b"caf\xe9.jpg"


@pytest.mark.parametrize("chosen", ["csv", "jsonl"])
def test_a_name_that_is_not_utf8_is_reported_on_standard_output(chosen: str) -> None:
    script = (
        "from hashserver.provider.matches import LineMatch, open_report\n"
        f"with open_report(None, {chosen!r}) as report:\n"
        f"    report.add(LineMatch(1, {NOT_UTF8!r}, 'md5', 'x', 0, 'police', 'é', None))\n"
        "print('after')\n"
    )
    environment = {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"caf" in done.stdout
    assert "é".encode() in done.stdout
    assert done.stdout.endswith(b"after\n")


@pytest.mark.parametrize("chosen", ["csv", "jsonl"])
def test_a_file_is_complete_once_it_is_closed_and_replaces_an_older_one(tmp_path: Path, chosen: str) -> None:
    path = tmp_path / "hits"
    path.write_text("older\n" * 1000)
    with open_report(path, chosen) as report:
        for line in range(1, 1001):
            report.add(replace(MATCH, line=line, name="é\r\n"))
    with path.open(newline="", encoding="utf-8") as file:
        if chosen == "csv":
            read = [(int(record["line"]), record["name"]) for record in csv.DictReader(file)]
        else:
            read = [(record["line"], record["name"]) for record in map(json.loads, file)]
    name = "é\\r\\n" if chosen == "csv" else "é\r\n"
    assert read == [(line, name) for line in range(1, 1001)]


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    with open_report(None, "csv") as report:
        report.add(MATCH)
    print("after")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "7,a b.jpg,md5," + MATCH.hash + ",0,police,baseline,A-17",
        "after",
    ]


@pytest.mark.parametrize(
    ("chosen", "path", "expected"),
    [
        (None, None, "csv"),
        (None, "hits.csv", "csv"),
        (None, "hits", "csv"),
        (None, "hits.jsonl", "jsonl"),
        (None, "hits.ndjson", "jsonl"),
        (None, "hits.json", "jsonl"),
        ("csv", "hits.jsonl", "csv"),
        ("jsonl", None, "jsonl"),
    ],
)
def test_the_format_is_the_chosen_one_or_by_the_name(chosen: str | None, path: str | None, expected: str) -> None:
    assert report_format(chosen, None if path is None else Path(path)) == expected


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ReportError, match="csv or jsonl, not 'xml'"):
        report_format("xml", None)
