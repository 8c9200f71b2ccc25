"""`hashserver report`, as a user types it."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import generate_year
import pytest
from parties import add_party
from serving import Ran, load, md5_of, run, serving

from hashserver.ledger.database import FILE


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "year"
    generate_year.generate(folder, scale=0.0005)
    return folder


def report(year: Path, *arguments: object) -> Ran:
    return run("report", *arguments, "--data-dir", year, cwd=year.parent)


def test_usage_as_json_and_csv_say_the_same(year: Path) -> None:
    period = ("--from", "2020", "--to", "2020")
    found = report(year, "usage", *period, "--json").json
    assert found["period"] == {"from": "2020-01-01", "to": "2020-12-31"}
    assert (found["total"]["checked"], found["total"]["hits"]) == (9_100_000, 3700)
    rows = list(csv.DictReader(io.StringIO(report(year, "usage", *period, "--csv").out)))
    assert sum(int(row["hits"]) for row in rows if row["table"] == "months") == 3700
    for table in ("months", "parties", "types", "sets", "categories", "distances"):
        there = {row["name"]: row for row in rows if row["table"] == table}
        assert set(there) == {line["name"] or "" for line in found[table]}
        for line in found[table]:
            row = there[line["name"] or ""]
            for key in ("checked", "hits", "matches", "entries", "repeats"):
                assert row[key] == ("" if line[key] is None else str(line[key]))
    never = {row["name"]: int(row["never"]) for row in rows if row["table"] == "never_hit"}
    assert never == {line["set"]: line["never"] for line in found["never_hit"]}
    assert len(found["entries"]["most_repeated"]) == 20


def test_usage_of_one_party_and_month_is_a_part_of_the_whole(year: Path) -> None:
    everyone = report(year, "usage", "--from", "2020-03", "--to", "2020-03", "--json").json
    one = report(year, "usage", "--from", "2020-03", "--to", "2020-03", "--party", "provider c", "--json").json
    assert one["party"] == "Provider C"
    line = next(line for line in everyone["parties"] if line["name"] == "Provider C")
    assert (one["total"]["hits"], one["total"]["entries"]) == (line["hits"], line["entries"])
    assert one["never_hit"] is None


def test_usage_in_words(year: Path) -> None:
    ran = report(year, "usage", "--from", "2020-01", "--to", "2020-12")
    assert ran.out.startswith("2020-01-01 to 2020-12-31, all parties")
    assert ran.code == 0
    for words in ("9,100,000", "by category", "baseline", "pdq 31", "entries that never hit", "most repeated"):
        assert words in ran.out
    ran = report(year, "usage", "--from", "2020-01-15", "--to", "2020-03-05")
    assert "kept by month" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("usage", "--from", "spring"), "'spring' is not a day"),
        (("usage", "--from", "2020-03", "--to", "2020-02"), "before it begins"),
        (("usage", "--party", "Nobody"), "no party named 'Nobody'"),
        (("usage", "--csv", "--json"), "exclude each other"),
        (("annual", "--year", "2020", "--lang", "de", "-o", "x.html"), "no reports in 'de'; use nl or en"),
        (("annual", "--year", "20200", "-o", "x.html"), "is not a year"),
        (("effect", "--reports", "missing.csv"), "missing.csv"),
        (("effect", "--reports", "empty.csv"), "no column"),
        (("effect", "--reports", "empty.csv", "--since", "birth"), "neither first-check nor created"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(year: Path, arguments: tuple[str, ...], words: str) -> None:
    (year.parent / "empty.csv").write_text("")
    ran = report(year, *arguments)
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("│", " ").split())


def test_a_folder_without_a_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    ran = run("report", "usage", "--data-dir", tmp_path / "elsewhere", cwd=tmp_path)
    assert ran.code == 2
    assert "there is no store in" in " ".join(ran.err.split())
    assert not (tmp_path / "elsewhere").exists()


def test_the_annual_report_is_written(year: Path, tmp_path: Path) -> None:
    ran = report(year, "annual", "--year", "2020", "--lang", "nl", "-o", tmp_path / "report.html")
    assert ran.code == 0, ran.err
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Jaarverslag 2020" in page
    assert "nooit een treffer" in page


def test_effect_finds_what_was_put_into_the_reports(year: Path, tmp_path: Path) -> None:
    reports = year / "hotline-reports.csv"
    ran = report(year, "effect", "--reports", reports, "-o", tmp_path / "effect.html", "--json")
    assert ran.code == 0, ran.err
    estimate = ran.json["estimate"]
    assert estimate["low"] < generate_year.EFFECT < estimate["high"] < 1
    assert "What connecting changed" in (tmp_path / "effect.html").read_text()
    assert "95 % interval" in report(year, "effect", "--reports", reports, "--since", "created").out
    rows = list(csv.DictReader(io.StringIO(report(year, "effect", "--reports", reports, "--csv").out)))
    assert [int(row["month"]) for row in rows] == [one["month"] for one in ran.json["relative"]]


def test_the_audit_log_and_the_feedback_can_be_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", f"md5,id\n{md5_of('known')},A-1\n")
    key = add_party(data, "Example <Hosting>")
    with serving(data) as server, server.client() as client:
        words = {"set": "police", "id": "A-1", "verdict": "false-positive", "note": "[bold]a logo[/bold]"}
        answer = client.post("/v2/feedback", json=words, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 201
    lines = run("report", "audit", "--data-dir", data, "--json", cwd=tmp_path).lines
    assert [(line["action"], line["subject"]) for line in lines] == [
        ("party add", "Example <Hosting>"),
        ("load", "police"),
    ]
    assert key not in str(lines)
    (said,) = run("report", "feedback", "--data-dir", data, "--json", cwd=tmp_path).lines
    assert {**said, "number": 1, "time": ""} == {"number": 1, "time": "", "party": "Example <Hosting>", **words}
    shown = run("report", "feedback", "--data-dir", data, cwd=tmp_path)
    assert "[bold]a logo[/bold]" in shown.out
    assert run("report", "audit", "--data-dir", tmp_path / "none", cwd=tmp_path).code == 2


def test_figures_of_one_party_need_no_store(year: Path, tmp_path: Path) -> None:
    folder = tmp_path / "year"
    shutil.copytree(year, folder)
    (folder / "data.mdb").write_bytes(b"not LMDB's" * 1000)
    period = ("--from", "2020", "--to", "2021", "--json")
    assert report(folder, "usage", *period, "--party", "Provider C").json["party"] == "Provider C"
    ran = report(folder, "usage", *period)
    assert (ran.code, ran.out) == (3, "")
    assert "cannot open the store" in ran.err


@pytest.mark.parametrize("command", ["usage", "annual", "effect"])
def test_a_damaged_ledger_is_a_sentence(year: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "year"
    shutil.copytree(year, folder)
    size = (folder / FILE).stat().st_size
    with (folder / FILE).open("r+b") as stream:
        stream.seek(size // 3)
        stream.write(b"\xa5" * (size // 2))
    options = {
        "usage": ("--from", "2020", "--to", "2021"),
        "annual": ("--year", "2020", "-o", tmp_path / "report.html"),
        "effect": ("--reports", year / "hotline-reports.csv"),
    }
    ran = report(folder, command, *options[command])
    assert (ran.code, ran.out) == (3, "")
    assert "is damaged" in ran.err
    assert "restore it from a backup" in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "report.html").exists()
