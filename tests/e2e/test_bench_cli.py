"""`hashserver bench`, small."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from parties import add_party, ledger_rows
from serving import load, md5_of, run, serving

SMALL = ("--entries", 2000, "--seconds", 0.2)
OVER_HTTP = ["json_checks", "packed_checks"]


def test_measures_this_machine_and_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ran = run("bench", *SMALL, "--json", cwd=tmp_path, env={"TMPDIR": str(scratch)})
    assert ran.code == 0, ran.err
    assert ran.json["entries"] == 2000
    figures = {one["name"]: one for one in ran.json["figures"]}
    assert list(figures) == [
        "exact_lookups",
        "getmulti_lookups",
        "pdq_queries",
        *OVER_HTTP,
        "pdq_ms",
        "picture_ms",
    ]
    assert all(one["value"] > 0 and one["meaning"] for one in figures.values())
    assert figures["exact_lookups"]["value"] > figures["getmulti_lookups"]["value"]
    assert list(scratch.iterdir()) == []
    assert not [each for each in _command_lines() if str(scratch) in each], "its server is still running"


def _command_lines() -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return found


def test_prints_a_table_that_says_what_each_figure_means(tmp_path: Path) -> None:
    ran = run("bench", *SMALL, cwd=tmp_path, env={"TMPDIR": tempfile.mkdtemp(dir=tmp_path)})
    assert ran.code == 0, ran.err
    for words in ("exact lookups", "lmdb getmulti", "PDQ queries", "JSON checks", "x getmulti", "10,000 MD5s"):
        assert words in ran.out


def test_a_server_that_is_measured_records_counts_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", md5_of("known") + "\n", "--type", "md5")
    key = add_party(data)
    with serving(data) as server:
        ran = run(
            "bench", "--server", server.url, "--seconds", 0.2, "--json", cwd=tmp_path, env={"HASHSERVER_KEY": key}
        )
        refused = run("bench", "--server", server.url, "--key", "wrong", "--seconds", 0.2, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "records nothing but counts" in ran.err
    assert [one["name"] for one in ran.json["figures"]] == OVER_HTTP
    ((checked, hits),) = ledger_rows(data, "SELECT sum(checked), sum(hits) FROM counts")
    assert checked >= 20_000
    assert hits == 0
    assert ledger_rows(data, "SELECT count(*) FROM matches") == [(0,)]
    assert refused.code == 3
    assert "answered 401" in refused.err


@pytest.mark.parametrize("url", ["http://192.0.2.1:8080", "https://192.0.2.1"])
def test_a_server_on_another_machine_is_refused(tmp_path: Path, url: str) -> None:
    ran = run("bench", "--server", url, "--seconds", 0.1, cwd=tmp_path)
    assert ran.code == 2
    assert "--yes" in ran.err


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://"])
def test_what_is_no_url_is_named(tmp_path: Path, url: str) -> None:
    ran = run("bench", "--server", url, cwd=tmp_path)
    assert ran.code == 2
    assert "not the URL of a server" in ran.err


def test_a_server_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    ran = run("bench", "--server", "http://127.0.0.1:9", "--seconds", 0.1, cwd=tmp_path)
    assert ran.code == 3
    assert "does not answer" in ran.err
