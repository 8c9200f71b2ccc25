"""Entries that a hotline's tool adds and withdraws, seen by every worker; and what is refused."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Server, eventually, load, md5_of, run, serving

EMPTY_FILE = "d41d8cd98f00b204e9800998ecf8427e"


def party(folder: Path, name: str, *options: str) -> dict[str, str]:
    """Connect a party, and return the header with its key."""
    ran = run("party", "add", name, "--data-dir", folder, "--json", *options, cwd=folder.parent)
    assert ran.code == 0, ran.err
    return {"Authorization": f"Bearer {ran.json['key']}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("entries") / "data"
    load(data, "police", "md5,id\n" + "".join(f"{md5_of(f'old {n}')},OLD-{n}\n" for n in range(20)))
    load(data, "other", f"{md5_of('other')}\n")
    load(data, "good", f"{md5_of('good')}\n", "--role", "known-good")
    return data


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, dict[str, str]]:
    may = ("--permission", "check", "--permission", "contribute")
    return {
        "tool": party(folder, "tool", *may, "--sets", "police"),
        "checker": party(folder, "checker"),
        "admin": party(folder, "admin", "--permission", "admin"),
    }


@pytest.fixture(scope="module")
def server(folder: Path, keys: dict[str, dict[str, str]]) -> Iterator[Server]:
    with serving(folder, workers=2) as running:
        yield running
        assert "Traceback" not in running.log, "nothing went wrong inside"


def matches(client: httpx.Client, digest: str) -> list[dict[str, Any]]:
    answer = client.post("/v2/check", json={"md5": [digest]})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["matches"]
    return found


def test_an_added_entry_matches_on_every_worker_within_a_second_and_a_withdrawn_one_no_longer(
    server: Server, keys: dict[str, dict[str, str]]
) -> None:
    numbers = itertools.count()

    def everywhere(digest: str) -> list[bool]:
        return server.each_worker(lambda client: bool(matches(client, digest)), headers=keys["tool"])

    def add_and_withdraw(mine: httpx.Client) -> None:
        number = next(numbers)
        digest = md5_of(f"added {number}")
        entry = {"set": "police", "id": f"NEW/{number}", "category": "baseline", "md5": digest}
        answer = mine.post("/v2/entries", json=entry)
        assert (answer.status_code, answer.json()["added"]) == (201, 1), answer.text
        assert matches(mine, digest)[0]["entries"] == [
            {"set": "police", "category": "baseline", "id": f"NEW/{number}"}
        ]
        eventually(lambda: all(everywhere(digest)), within=1)
        gone = mine.delete(f"/v2/entries/police/NEW%2F{number}")
        assert (gone.status_code, gone.json()["removed"]) == (200, 1), gone.text
        assert not matches(mine, digest)
        eventually(lambda: not any(everywhere(digest)), within=1)
        again = mine.delete(f"/v2/entries/police/NEW%2F{number}")
        assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")

    for _ in range(3):
        server.each_worker(add_and_withdraw, headers=keys["tool"])


def test_an_entry_sent_again_stays_and_one_with_other_hashes_takes_its_place(
    server: Server, keys: dict[str, dict[str, str]]
) -> None:
    with server.client(headers=keys["tool"]) as client:
        first, second = md5_of("first"), md5_of("second")
        entry = {"set": "police", "id": "R-1", "md5": first}
        generation = client.post("/v2/entries", json=entry).json()["generation"]
        again = client.post("/v2/entries", json=entry)
        assert (again.status_code, again.json()) == (
            200,
            {"generation": generation, "set": "police", "added": 0, "replaced": 0, "unchanged": 1},
        )
        both = [{**entry, "md5": second}, {"set": "police", "id": "R-2", "md5": first}]
        answer = client.post("/v2/entries", json={"entries": both})
        assert (answer.status_code, answer.json()) == (
            201,
            {"generation": generation + 1, "set": "police", "added": 1, "replaced": 1, "unchanged": 0},
        )
        assert [each["id"] for each in matches(client, first)[0]["entries"]] == ["R-2"]
        assert [each["id"] for each in matches(client, second)[0]["entries"]] == ["R-1"]
        client.post("/v2/entries", json=entry)
        assert sorted(each["id"] for each in matches(client, first)[0]["entries"]) == ["R-1", "R-2"]


def test_requests_that_come_at_once_are_all_published(server: Server, keys: dict[str, dict[str, str]]) -> None:
    answers: list[httpx.Response] = []

    def add(number: int) -> None:
        with server.client(headers=keys["tool"]) as client:
            entry = {"set": "police", "id": f"C-{number}", "md5": md5_of(f"at once {number}")}
            answers.append(client.post("/v2/entries", json=entry))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 16
    assert len({answer.json()["generation"] for answer in answers}) == 16
    with server.client(headers=keys["tool"]) as client:
        asked = {"md5": [md5_of(f"at once {number}") for number in range(16)]}
        eventually(lambda: len(client.post("/v2/check", json=asked).json()["matches"]) == 16, within=1)


GOOD = {"set": "police", "id": "X", "md5": md5_of("x")}


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({**GOOD, "md5": "abc"}, "/md5", "expected 32 hexadecimal digits, got 3"),
        (
            {"entries": [GOOD, {**GOOD, "id": "Y", "sha1": "z" * 40}]},
            "/entries/1/sha1",
            "entry 1: sha1: character 1",
        ),
        ({**GOOD, "md5": EMPTY_FILE}, "/md5", "the empty file"),
        ({**GOOD, "md5": 7}, "/md5", "written as a string"),
        ({"set": "police", "id": "X"}, "", "has no hash"),
        ({"set": "police", "md5": md5_of("x")}, "/id", "id must be a string"),
        ({**GOOD, "id": "i" * 501}, "/id", "longer than 500 bytes"),
        ({**GOOD, "id": "a\nb"}, "/id", "cannot be printed"),
        ({**GOOD, "category": "c" * 201}, "/category", "longer than 200 bytes"),
        ({**GOOD, "colour": "red"}, "", "unknown member 'colour'"),
        ({"entries": [GOOD, {**GOOD, "set": "other"}]}, "/entries/1/set", "one request changes one set"),
        ({"entries": [GOOD, {**GOOD, "md5": md5_of("y")}]}, "/entries/1/id", "has the same id"),
        ({"entries": []}, "/entries", "at least one entry"),
        ([GOOD], "", "not an object"),
    ],
)
def test_what_cannot_be_taken_is_refused_whole_with_its_place(
    server: Server, keys: dict[str, dict[str, str]], body: object, pointer: str, words: str
) -> None:
    with server.client(headers=keys["tool"]) as client:
        answer = client.post("/v2/entries", json=body)
        assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text
        assert words in answer.json()["detail"]
        assert not matches(client, md5_of("x"))


def test_only_who_may_changes_only_what_it_may(server: Server, keys: dict[str, dict[str, str]]) -> None:
    def add(who: str | None, set_name: str) -> int:
        headers = keys[who] if who else {}
        with server.client(headers=headers) as client:
            entry = {"set": set_name, "id": "P", "md5": md5_of("p")}
            return client.post("/v2/entries", json=entry).status_code

    assert [add(None, "police"), add("checker", "police"), add("tool", "other"), add("tool", "good")] == [
        401,
        403,
        403,
        403,
    ]
    assert [add("admin", "new"), add("admin", "good"), add("admin", "a b")] == [201, 201, 422]
    with server.client() as client:
        assert client.delete("/v2/entries/new/P").status_code == 401
        assert client.delete("/v2/entries/new/P", headers=keys["tool"]).status_code == 403
        assert client.delete("/v2/entries/no-such/P", headers=keys["admin"]).status_code == 404
        large = {"entries": [{"set": "police", "id": f"{n}", "md5": md5_of("x")} for n in range(10_001)]}
        assert client.post("/v2/entries", json=large, headers=keys["tool"]).status_code == 413
        assert client.post("/v2/entries", content=b"{", headers=keys["tool"]).status_code == 415
        json_type = {"Content-Type": "application/json", **keys["tool"]}
        assert client.post("/v2/entries", content=b"{", headers=json_type).status_code == 400


def test_the_audit_log_says_who_added_what_but_no_hashes(
    server: Server, folder: Path, keys: dict[str, dict[str, str]]
) -> None:
    digest = md5_of("audited")
    with server.client(headers=keys["tool"]) as client:
        added = client.post("/v2/entries", json={"set": "police", "id": "AU-1", "md5": digest}).json()
        client.delete("/v2/entries/police/AU-1")
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        rows = ledger.execute(
            "SELECT who, action, subject, before, after FROM audit ORDER BY id DESC LIMIT 2"
        ).fetchall()
    withdrawn, written = ((*row[:3], json.loads(row[3]), json.loads(row[4])) for row in rows)
    assert written[:3] == ("party tool", "entries add", "police")
    assert (written[4]["generation"], written[4]["ids"], written[4]["added"]) == (added["generation"], ["AU-1"], 1)
    assert written[3]["entries"] == written[4]["entries"] - 1
    assert withdrawn[:3] == ("party tool", "entries withdraw", "police")
    assert withdrawn[4]["removed"] == 1
    assert digest not in json.dumps(rows)
