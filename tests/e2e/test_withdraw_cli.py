"""`hashserver sets show`, `withdraw` and `quarantine`, as an operator runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Ran, md5_of, run

from hashcore import Store, hash_type

HASHES = [md5_of(f"item {number}") for number in range(3)]
CSV = "md5,category,id\n" + "".join(f"{text},baseline,A-{row}\n" for row, text in enumerate(HASHES))


def sets(folder: Path, *arguments: str) -> Ran:
    return run("sets", *arguments, "--data-dir", "store", cwd=folder)


def load(folder: Path) -> None:
    assert run("load", "police.csv", "--set", "police", "--data-dir", "store", cwd=folder).code == 0


def matching(folder: Path) -> list[int]:
    """Which of the hashes match."""
    asked = np.frombuffer(bytes.fromhex("".join(HASHES)), np.uint8).reshape(-1, 16)
    with Store(folder / "store") as store, store.read() as snapshot:
        found: list[int] = snapshot.match(hash_type("md5"), asked).queries.tolist()
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "police.csv").write_text(CSV)
    load(tmp_path)
    return tmp_path


def test_an_entry_is_shown_and_withdrawn_and_comes_back_with_its_file(folder: Path) -> None:
    shown: dict[str, Any] = json.loads(sets(folder, "show", "police", "A-1", "--json").out)
    assert (shown["id"], shown["category"], shown["hashes"]) == ("A-1", "baseline", {"md5": HASHES[1]})
    done = json.loads(sets(folder, "withdraw", "police", "A-1", "A-9", "--json").out)
    assert done == {"generation": 2, "changed": True, "removed": 1, "missing": ["A-9"]}
    assert matching(folder) == [0, 2]
    refused = sets(folder, "show", "police", "A-1")
    assert (refused.code, "set 'police' has no entry with the id 'A-1'" in refused.err) == (2, True)
    assert sets(folder, "withdraw", "police", "A-1").code == 2
    load(folder)
    assert matching(folder) == [0, 1, 2]


def test_what_is_quarantined_stays_suppressed_until_it_is_withdrawn_from_there(folder: Path) -> None:
    done = sets(folder, "quarantine", "police", "A-0", "A-2")
    assert (done.code, done.out.strip()) == (0, "2 entries of set police quarantined; generation 2")
    load(folder)
    assert matching(folder) == [1]
    assert sets(folder, "withdraw", "quarantine", "A-0").code == 0
    assert matching(folder) == [0, 1]
    assert sets(folder, "quarantine", "police", "A-1", "B-1").code == 2
    assert matching(folder) == [0, 1], "all or nothing"
