"""`hashserver load` and `hashserver sets`, as an operator runs them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from serving import Ran, load, md5_of, run

HASHES = [md5_of(f"item {number}") for number in range(3)]
CSV = "md5,category,id\n" + "".join(f"{text},baseline,A-{row}\n" for row, text in enumerate(HASHES))


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"md5": HASHES, "category": ["baseline"] * 3, "id": ["A", "B", "C"]}), path)


FORMATS: dict[str, Callable[[Path], object]] = {
    "police.csv": lambda path: path.write_text(CSV),
    "police.txt": lambda path: path.write_text("\n".join(HASHES)),
    "police.md5": lambda path: path.write_text("".join(f"{text}  /srv/{text}.jpg\n" for text in HASHES)),
    "police.jsonl": lambda path: path.write_text("".join(json.dumps({"md5": text}) + "\n" for text in HASHES)),
    "police.parquet": _parquet,
    "police.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "police.csv.zst": lambda path: path.write_bytes(zstandard.compress(CSV.encode())),
    "-": lambda path: None,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Every format loaded into a set of its own, all at once: the loads wait for each other."""
    folder = tmp_path_factory.mktemp("formats")

    def load_one(item: tuple[int, str]) -> Ran:
        number, name = item
        FORMATS[name](folder / name)
        arguments = ("load", name, "--set", f"set{number}", "--data-dir", "store", "--json")
        return run(*arguments, cwd=folder, stdin=CSV.encode())

    with ThreadPoolExecutor(4) as threads:
        ran = dict(zip(FORMATS, threads.map(load_one, enumerate(FORMATS)), strict=True))
    ran["sets"] = run("sets", "--json", "--data-dir", "store", cwd=folder)
    return ran


def test_rows_of_an_inventory_that_tell_no_hash_are_counted(tmp_path: Path) -> None:
    listing = f"{HASHES[0]}  a\n{'UNSUPPORTED':>32}  b\n".encode()
    ran = run("load", "-", "--set", "own", "--data-dir", "store", cwd=tmp_path, stdin=listing)
    assert ran.code == 0, ran.err
    assert "1 added, 0 already there, 0 removed, 0 rejected" in ran.out
    assert "1 rows have no hash" in ran.out


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_detected_and_loaded_whole(loaded: dict[str, Ran], name: str) -> None:
    ran = loaded[name]
    assert ran.code == 0, ran.err
    expected = {"entries": 3, "added": 3, "already_there": 0, "removed": 0, "duplicates": 0, "rejected": 0}
    assert {key: ran.json[key] for key in expected} == expected
    assert ran.json["changed"] is True
    assert ran.json["reject_file"] is None


def test_loads_that_run_at_once_all_arrive(loaded: dict[str, Ran]) -> None:
    described = loaded["sets"].json
    assert described["generation"] == len(FORMATS)
    assert {entry["name"]: entry["hashes"] for entry in described["sets"]} == {
        f"set{number}": {"md5": 3} for number in range(len(FORMATS))
    }
    assert {loaded[name].json["generation"] for name in FORMATS} == set(range(1, len(FORMATS) + 1))


def test_a_line_that_is_not_taken_is_in_the_reject_file_with_its_line_and_reason(tmp_path: Path) -> None:
    rows = ["md5,category,id", f"{HASHES[0]},baseline,A", "9e10zz,baseline,B", f"{HASHES[1]},too,many,cells"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    ran = run("load", "list.csv", "--set", "police", "--data-dir", "store", "--force", cwd=tmp_path)
    assert ran.code == 0
    assert "1 added, 0 already there, 0 removed, 2 rejected; 1 entries" in ran.out
    assert "list.csv.rejects" in ran.out
    rejects = tmp_path / "list.csv.rejects"
    assert list(csv.reader(rejects.open(newline=""))) == [
        ["line", "reason", "text"],
        ["3", "md5: expected 32 hexadecimal digits, got 6", rows[2]],
        ["4", "expected 3 columns, got 4", rows[3]],
    ]
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_project_vic_loses_the_empty_file_with_a_warning_and_half_a_file_changes_nothing(tmp_path: Path) -> None:
    media = [{"MediaID": number, "Category": 1, "MD5": text.upper()} for number, text in enumerate(HASHES)]
    media.insert(1, {"MediaID": 9, "Category": 1, "MD5": hashlib.md5(b"").hexdigest().upper(), "MediaSize": 0})
    address = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"
    data = json.dumps({"odata.metadata": address, "value": media}, indent=1)
    (tmp_path / "vic.json").write_text(data)
    ran = run("load", "vic.json", "--set", "vic", "--data-dir", "data", "--json", "--force", cwd=tmp_path)
    summary = json.loads(ran.out)
    assert (summary["entries"], summary["rejected"]) == (3, 1)
    with (tmp_path / "vic.json.rejects").open() as file:
        (reject,) = csv.DictReader(file)
    assert reject["line"] == "2"
    assert "the empty file" in reject["reason"]
    (tmp_path / "half.json").write_text(data[: len(data) // 2])
    ran = run("load", "half.json", "--set", "vic", "--data-dir", "data", cwd=tmp_path)
    assert ran.code == 2
    assert "half.json: line " in ran.err
    ran = run("sets", "--json", "--data-dir", "data", cwd=tmp_path)
    assert '"generation":1' in ran.out.replace(" ", "")


def test_the_same_file_twice_changes_nothing_and_append_and_replace_do_what_they_say(tmp_path: Path) -> None:
    store = tmp_path / "store"

    def numbers(summary: dict[str, Any]) -> tuple[int, ...]:
        return tuple(summary[key] for key in ("generation", "entries", "added", "already_there", "removed"))

    assert numbers(load(store, "police", CSV)) == (1, 3, 3, 0, 0)
    again = load(store, "police", CSV)
    assert numbers(again) == (1, 3, 0, 3, 0)
    assert again["changed"] is False
    more = f"md5,category,id\n{md5_of('new')},baseline,N\n{HASHES[0]},baseline,A-0\n"
    assert numbers(load(store, "police", more, "--append")) == (2, 4, 1, 1, 0)
    assert numbers(load(store, "police", more, "--replace", "--force")) == (3, 2, 0, 2, 2)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """What each command said: two loads, the removal of the first set, and its undoing."""
    folder = tmp_path_factory.mktemp("changes")
    load(folder / "store", "police", CSV)
    load(folder / "store", "nsrl", f"{md5_of('benign')}\n{md5_of('dull')}\n", "--role", "known-good")
    commands = {
        "listed": ("sets",),
        "remove": ("sets", "remove", "police"),
        "after remove": ("sets", "--json"),
        "rollback": ("sets", "rollback", "--to", "2"),
        "rollback again": ("sets", "rollback", "--to", "2", "--json"),
        "after rollback": ("sets", "--json"),
        "history": ("sets", "history", "--json"),
        "history table": ("sets", "history"),
        "unknown set": ("sets", "remove", "nope"),
        "unknown generation": ("sets", "rollback", "--to", "99"),
    }
    return {name: run(*command, "--data-dir", "store", cwd=folder) for name, command in commands.items()}


def test_sets_are_listed_with_role_and_counts(changed: dict[str, Ran]) -> None:
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in changed["listed"].out.splitlines()]
    police, nsrl = (next(row for row in rows if row and row[0] == name) for name in ("police", "nsrl"))
    assert police[:4] == ["police", "match", "3", "md5 3"]
    assert nsrl[:4] == ["nsrl", "known-good", "2", "md5 2"]


def test_a_set_that_is_removed_comes_back_with_a_rollback(changed: dict[str, Ran]) -> None:
    assert "set police removed (3 entries); generation 3" in changed["remove"].out
    assert [entry["name"] for entry in changed["after remove"].json["sets"]] == ["nsrl"]
    assert "generation 4 holds the sets of generation 2" in changed["rollback"].out
    assert {entry["name"]: entry["entries"] for entry in changed["after rollback"].json["sets"]} == {
        "police": 3,
        "nsrl": 2,
    }
    assert changed["rollback again"].json == {"generation": 4, "changed": False}


def test_the_history_names_every_generation_and_what_made_it(changed: dict[str, Ran]) -> None:
    history = changed["history"].json
    assert [row["generation"] for row in history][-4:] == [1, 2, 3, 4]
    assert [len(row["sets"]) for row in history][-4:] == [1, 2, 1, 2]
    assert all(row["action"] for row in history)
    assert all(row["action"] in changed["history table"].out for row in history[-4:])


def _is_one_sentence(ran: Ran, *words: str) -> None:
    """Bad input: exit code 2 and one line that says what, where and what to do."""
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert ran.err.startswith("hashserver: ")
    assert len(ran.err.splitlines()) == 1
    for word in words:
        assert word in ran.err


def test_an_unknown_set_or_generation_is_refused_with_those_that_there_are(changed: dict[str, Ran]) -> None:
    _is_one_sentence(changed["unknown set"], "'nope'", "nsrl", "police")
    _is_one_sentence(changed["unknown generation"], "99", "1, 2, 3, 4")


BAD = {
    "no such file": (("load", "missing.csv", "--set", "a"), ("missing.csv", "No such file")),
    "a folder": (("load", ".", "--set", "a"), ("directory",)),
    "unknown format": (("load", "good.csv", "--set", "a", "--format", "xls"), ("'xls'", "csv", "parquet")),
    "unknown type": (("load", "good.csv", "--set", "a", "--type", "md4"), ("'md4'", "md5", "sha256")),
    "no hashes": (("load", "letter.doc", "--set", "a"), ("letter.doc", "--format")),
    "cut gzip": (("load", "cut.csv.gz", "--set", "a"), ("cut.csv.gz", "too early", "complete?")),
    "not Parquet": (("load", "bad.parquet", "--set", "a"), ("bad.parquet", "Parquet")),
    "reject file": (("load", "bad.csv", "--set", "a", "--rejects", "no/such"), ("no/such", "name another")),
    "file for a folder": (("sets", "--data-dir", "good.csv"), ("good.csv", "a folder is needed")),
    "file in the way": (("sets", "--data-dir", "good.csv/store"), ("good.csv/store", "a folder is needed")),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """What all the bad commands came to, and what was in the store after them."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "good.csv").write_text(CSV)
    (folder / "bad.csv").write_text(CSV + "zz,a,b\n")
    (folder / "letter.doc").write_text("Dear Sirs,\nyours faithfully\n")
    (folder / "cut.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-20])
    (folder / "bad.parquet").write_bytes(b"PAR1" + b"junk" * 20)

    def attempt(name: str) -> Ran:
        arguments = BAD[name][0]
        # A store of its own: a load that waits for another says so, in a sentence more.
        return run(*arguments, cwd=folder, env={"HASHSERVER_DATA_DIR": f"store of {name}"})

    with ThreadPoolExecutor(2) as threads:
        ran = dict(zip(BAD, threads.map(attempt, BAD), strict=True))
    ran["sets"] = run("sets", "--json", "--data-dir", "store of reject file", cwd=folder)
    return ran


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(bad: dict[str, Ran], name: str) -> None:
    _is_one_sentence(bad[name], *BAD[name][1])


def test_a_load_that_fails_on_the_way_publishes_nothing(bad: dict[str, Ran]) -> None:
    assert bad["sets"].json == {"generation": 0, "published": None, "sets": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("load", "-"), "--set"),
        (("load", "-", "--set", "a/b"), "is not a valid name for a set"),
        (("sets", "rollback", "--to", "soon"), "--to"),
        (("unload",), "unload"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert ran.code == 2
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_used_is_named_with_where_it_may_come_from(tmp_path: Path) -> None:
    ran = run("sets", cwd=tmp_path, env={"HASHSERVER_KEEP_GENERATIONS": "few"})
    _is_one_sentence(ran, "keep_generations", "HASHSERVER_KEEP_GENERATIONS")


def test_an_unknown_role_is_bad_input(tmp_path: Path) -> None:
    arguments = ("load", "-", "--set", "a", "--role", "suspect", "--data-dir", "store")
    _is_one_sentence(run(*arguments, cwd=tmp_path, stdin=CSV.encode()), "'suspect'", "known-good")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)
    ran = run("load", "-", "--set", "a", "--data-dir", sealed / "store", cwd=tmp_path, stdin=CSV.encode())
    _is_one_sentence(ran, "sealed", "owner")


NSRL = '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\r\n' + "".join(
    f'"{number:040X}","{text.upper()}","00000000","a.txt",1,1,"362",""\r\n' for number, text in enumerate(HASHES)
)


def test_a_new_set_from_nsrl_is_known_good_unless_said_otherwise(tmp_path: Path) -> None:
    def load_nsrl(name: str, *options: str) -> Ran:
        ran = run("load", "-", "--set", name, "--data-dir", "store", *options, cwd=tmp_path, stdin=NSRL.encode())
        assert ran.code == 0, ran.err
        return ran

    said = "known becomes a known-good set, because it comes from NSRL"
    assert said in load_nsrl("known").err
    assert "becomes" not in load_nsrl("known").err  # it is one already
    assert "becomes" not in load_nsrl("other", "--role", "match").err
    assert "becomes" not in load_nsrl("other").err  # an existing set keeps its role
    described = run("sets", "--json", "--data-dir", "store", cwd=tmp_path).json["sets"]
    assert {entry["name"]: entry["role"] for entry in described} == {"known": "known-good", "other": "match"}
