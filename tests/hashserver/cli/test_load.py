"""`hashserver load` and `sets role`, in this process: what they refuse, and what they say of it."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from hashserver.cli.main import run

HASHES = [hashlib.md5(b"%d" % number).hexdigest() for number in range(1000)]
CSV = "md5,category,id\n" + "".join(f"{text},baseline,A-{row}\n" for row, text in enumerate(HASHES))


class Shell:
    """Commands in a folder, with a store that holds the set police."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys
        self.file("police.csv", CSV)

    def file(self, name: str, content: str | bytes) -> str:
        data = content if isinstance(content, bytes) else content.encode()
        (self._folder / name).write_bytes(data)
        return name

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--data-dir", "data"])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def load(self, name: str, *options: str, to: str = "police") -> tuple[int, Any, str]:
        code, out, err = self.run("load", name, "--set", to, "--json", *options)
        return code, json.loads(out) if out else None, err

    def sets(self) -> dict[str, tuple[str, int]]:
        code, out, _ = self.run("sets", "--json")
        assert code == 0
        return {entry["name"]: (entry["role"], entry["entries"]) for entry in json.loads(out)["sets"]}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path, capsys)
    code, outcome, err = shell.load("police.csv")
    assert (code, outcome["entries"]) == (0, 1000), err
    return shell


GUTTING: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "holds no entry"),
    "header.csv": ("md5,category,id\n", "holds no entry"),
    "error.json": ('{"error": "quota exceeded"}', "all were rejected"),
    "error.html": ("<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>", "an HTML page"),
    "pretty.json": (json.dumps({"hashes_of": [{"md5": HASHES[0]}]}, indent=2), "a JSON document of a structure"),
    "nothing.json": ('{"data": []}', "all were rejected"),
    "items.json": ("[]", "holds no entry"),
    "bad.csv": ("md5,id\n" + "".join(f"{text[:-1]},1\n" for text in HASHES), "1,000 rows were read and all were"),
    "update.csv": ("md5,category,id\n" + f"{'ab' * 16},baseline,B-1\n", "use --append"),
    "page2.csv": (
        "md5,category,id\n" + "".join(CSV.splitlines(keepends=True)[501:]),
        "500 of its 1,000 entries (50 %)",
    ),
    "cut.csv": (CSV[: len(CSV) * 99 // 100 - 20], "ends in the middle of line"),
    "cut.md5": ("".join(f"{text}  {text}.jpg\n" for text in HASHES)[:-60], "ends in the middle of line"),
    "rejects.csv": (CSV + "x,baseline,B\n" * 11, "11 of 1,011 rows of rejects.csv (1.09 %) were rejected"),
}


@pytest.mark.parametrize("name", GUTTING)
def test_a_load_that_would_gut_a_set_changes_nothing_and_says_why(shell: Shell, name: str) -> None:
    content, words = GUTTING[name]
    shell.file(name, content)
    for append in ("--replace",) if name in ("update.csv", "page2.csv") else ("--replace", "--append"):
        code, outcome, err = shell.load(name, append)
        assert code == 2, err
        assert words in err
        assert outcome["changed"] is False
        assert words in outcome["refused"]["reason"]
        assert shell.sets() == {"police": ("match", 1000)}


@pytest.mark.parametrize("name", ["empty.csv", "header.csv", "nothing.json"])
def test_a_file_without_an_entry_makes_no_new_set(shell: Shell, name: str) -> None:
    shell.file(name, GUTTING[name][0])
    code, _, err = shell.load(name, to="new")
    assert code == 2
    assert "--force" in err
    assert "new" not in shell.sets()


def test_force_loads_all_the_same(shell: Shell) -> None:
    shell.file("page2.csv", GUTTING["page2.csv"][0])
    code, outcome, _ = shell.load("page2.csv", "--force")
    assert (code, outcome["entries"], outcome["removed"]) == (0, 500, 500)
    shell.file("header.csv", "md5,category,id\n")
    assert shell.load("header.csv", "--force")[0] == 0
    assert shell.sets() == {"police": ("match", 0)}


def test_what_is_within_the_limits_is_loaded_and_the_limits_are_settings(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = CSV.splitlines(keepends=True)
    shell.file("less.csv", "".join(lines[:801]) + "x,y,z\n" * 8)
    code, outcome, err = shell.load("less.csv")
    assert (code, outcome["removed"], outcome["rejected"]) == (0, 200, 8), err
    shell.file("fewer.csv", "".join(lines[:401]))
    code, outcome, _ = shell.load("fewer.csv")
    assert (code, outcome["refused"]["limit"], outcome["refused"]["removed"]) == (2, "load_most_removed", 400)
    monkeypatch.setenv("HASHSERVER_LOAD_MOST_REMOVED", "0.5")
    assert shell.load("fewer.csv")[0] == 0
    shell.file("nothing.csv", "md5\n" + "ab" * 16 + "\n")
    monkeypatch.setenv("HASHSERVER_LOAD_MOST_REMOVED", "1")
    assert shell.load("nothing.csv")[0] == 0


def test_a_load_never_changes_a_role(shell: Shell) -> None:
    for option in ("--append", "--replace", "--force"):
        code, outcome, err = shell.load("police.csv", "--role", "known-good", option)
        assert code == 2
        assert 'hashserver sets role police known-good --because "..."' in err
        assert outcome["refused"]["reason"] in err
    assert shell.sets() == {"police": ("match", 1000)}
    assert shell.load("police.csv", "--role", "match")[0] == 0


def test_a_role_changes_by_a_command_of_its_own_that_says_what_it_does(shell: Shell) -> None:
    command = ("sets", "role", "police", "known-good", "--because", "loaded by mistake")
    code, _, err = shell.run(*command)
    assert code == 2  # nobody there to ask
    assert "1,000 entries of set police change sides" in err
    assert shell.sets() == {"police": ("match", 1000)}
    code, out, err = shell.run(*command, "--yes")
    assert code == 0, err
    assert "set police is now known-good: 1,000 entries" in out
    assert shell.sets() == {"police": ("known-good", 1000)}
    code, out, _ = shell.run("report", "audit", "--json")
    assert code == 0
    newest = json.loads(out.splitlines()[0])
    assert (newest["action"], newest["after"]["because"]) == ("sets role", "loaded by mistake")
    assert shell.run("sets", "role", "police", "known-good", "--because", "x", "--yes", "--json")[0] == 0
    assert shell.run("sets", "role", "police", "suspect", "--because", "x", "--yes")[0] == 2
    assert shell.run("sets", "role", "other", "match", "--because", "x", "--yes")[0] == 2
    assert shell.run("sets", "role", "police", "match", "--because", " ", "--yes")[0] == 2
    assert shell.run("sets", "role", "police", "match", "--because", "undone", "--yes")[0] == 0
    assert shell.sets() == {"police": ("match", 1000)}


def test_columns_are_told_and_can_be_named(shell: Shell) -> None:
    sha1, sha256 = hashlib.sha1(b"").hexdigest()[::-1], hashlib.sha256(b"").hexdigest()[::-1]
    header = "MD5 Hash;SHA1 Hash;SHA256;Categorie;Opmerking\n"
    shell.file("dutch.csv", header + f"{HASHES[0]};{sha1};{sha256};A;geen\n")
    code, outcome, err = shell.load("dutch.csv", to="dutch")
    assert (code, outcome["ignored_columns"]) == (0, ["Opmerking"]), err
    _, out, _ = shell.run("sets", "--json")
    hashes = next(entry["hashes"] for entry in json.loads(out)["sets"] if entry["name"] == "dutch")
    assert hashes == {"md5": 1, "sha1": 1, "sha256": 1}
    _, out, _ = shell.run("load", "dutch.csv", "--set", "dutch")
    assert "columns that were ignored: Opmerking" in out
    shell.file("odd.csv", f"Vingerafdruk;Soort\n{HASHES[1]};B\n")
    code, outcome, err = shell.load(
        "odd.csv", "--column", "md5=vingerafdruk", "--column", "category=Soort", to="odd"
    )
    assert (code, outcome["added"], outcome["ignored_columns"]) == (0, 1, []), err
    for wrong in ("md5=Nope", "md4=Soort", "md5"):
        assert shell.load("odd.csv", "--column", wrong, to="odd2")[0] == 2


def test_hashes_of_low_quality_and_of_blank_pictures_stay_out_of_match_sets(shell: Shell) -> None:
    pdq = f"{random.Random(1).getrandbits(256):064x}"
    rows = [
        f"{HASHES[1]},{pdq},100",
        f"{HASHES[2]},{pdq},49",
        f",{pdq},0",
        f",{1:064x},",
        f",{'05f5280a' * 8},",
    ]
    shell.file("quality.csv", "md5,pdq,quality\n" + "".join(f"{row}\n" for row in rows))
    code, outcome, err = shell.load("quality.csv", "--force", to="pictures")
    assert code == 0, err
    assert (outcome["added"], outcome["rejected"], outcome["hashes_left_out"]) == (2, 3, 1)
    rejects = Path("quality.csv.rejects").read_text()
    assert "quality 0 is below 50" in rejects
    assert rejects.count("the pdq of a blank picture") == 2
