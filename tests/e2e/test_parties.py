"""Parties over HTTP: keys, permissions, limits, and changes that reach every worker in a second."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Server, eventually, load, md5_of, run, serving

from hashserver.ledger import Ledger

PROBLEM = "application/problem+json"
KNOWN = md5_of("known")
MISSED = [md5_of(f"missed {number}") for number in range(50)]
WITHIN = 1.0  # second: how soon changes reach every worker


class Office:
    """A server with two workers, and the operator who changes its parties."""

    def __init__(self, server: Server, data: Path) -> None:
        self.server, self.data = server, data
        self.keys: list[str] = []

    def party(self, *arguments: object) -> Any:
        """Run `hashserver party`; what it printed, if that is JSON."""
        ran = run("party", *arguments, "--data-dir", self.data, cwd=self.data.parent)
        assert ran.code == 0, ran.err
        return ran.json if "--json" in arguments else None

    def add(self, name: str, *options: object) -> str:
        """A new party, and its key, once all workers know it."""
        key = str(self.party("add", name, *options, "--json")["key"])
        self.keys.append(key)
        self.all_say(200, {"Authorization": f"Bearer {key}"})
        return key

    def all_say(self, status: int, headers: dict[str, str], path: str = "/v2/sets") -> None:
        """Every worker answers with this status before a second is over."""

        def statuses() -> set[int]:
            return set(self.server.each_worker(lambda client: client.get(path).status_code, headers=headers))

        eventually(lambda: statuses() == {status}, WITHIN)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    data = tmp_path_factory.mktemp("parties") / "data"
    load(data, "police", f"md5,id\n{KNOWN},P-1\n")
    load(data, "interpol", f"md5,id\n{KNOWN},I-1\n")
    assert run("party", "add", "First", "--data-dir", data, cwd=data.parent).code == 0
    with serving(data, workers=2) as server:
        yield Office(server, data)


def check(office: Office, headers: dict[str, str], hashes: list[str]) -> httpx.Response:
    with office.server.client(headers=headers) as client:
        return client.post("/v2/check", json={"md5": hashes})


def check_everywhere(office: Office, key: str) -> list[httpx.Response]:
    """The answers of both workers to a check of the known hash."""
    body = {"md5": [KNOWN]}
    return office.server.each_worker(lambda client: client.post("/v2/check", json=body), headers=bearer(key))


def assert_problem(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM
    assert words in response.json()["detail"]


def test_strangers_are_asked_for_a_key(office: Office) -> None:
    for headers, words in (
        ({}, "Authorization: Bearer KEY"),
        (bearer("hs_" + "x" * 43), "the key is unknown"),
        ({"Authorization": "Digest x"}, "neither Bearer nor Basic"),
        ({"Authorization": "Basic \xe9".encode("latin-1")}, "not base64"),
    ):
        response = check(office, headers, [KNOWN])  # type: ignore[arg-type]
        assert_problem(response, 401, words)
        assert response.headers["www-authenticate"].startswith("Bearer ")
        assert "Basic " in response.headers["www-authenticate"]
    with office.server.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/v2/sets").status_code == 401


def test_bearer_and_basic_are_answered_alike(office: Office) -> None:
    key = office.add("Both Ways")
    answers = [check(office, bearer(key), [KNOWN]).json()]
    with office.server.client(auth=("Both Ways", key)) as client:
        answers.append(client.post("/v2/check", json={"md5": [KNOWN]}).json())
    with office.server.client(auth=("First", key)) as client:
        assert_problem(client.post("/v2/check", json={"md5": [KNOWN]}), 401, "the key is unknown")
    assert answers[0] == answers[1]
    assert len(answers[0]["matches"]) == 1


def test_permissions_are_taken_and_given(office: Office) -> None:
    key = office.add("Reporters", "--permission", "report")
    assert_problem(check(office, bearer(key), [KNOWN]), 403, "no permission to check")
    office.party("change", "Reporters", "--permission", "check")
    eventually(lambda: {answer.status_code for answer in check_everywhere(office, key)} == {200}, WITHIN)


def test_a_subset_of_sets_is_all_it_matches(office: Office) -> None:
    def named_everywhere(*sets: str) -> bool:
        return all(
            {entry["set"] for match in answer.json()["matches"] for entry in match["entries"]} == {*sets}
            for answer in check_everywhere(office, key)
        )

    key = office.add("Some Sets", "--sets", "interpol")
    assert named_everywhere("interpol")
    narrow = office.server.client(headers=bearer(key)).get("/v2/sets").json()
    assert [entry["name"] for entry in narrow["sets"]] == ["interpol"]
    assert check(office, bearer(key), [KNOWN]).json()["state"] == narrow["state"]
    office.party("change", "Some Sets", "--sets", "police")
    eventually(lambda: named_everywhere("police"), WITHIN)
    office.party("change", "Some Sets", "--sets", "all")
    eventually(lambda: named_everywhere("police", "interpol"), WITHIN)
    wide = office.server.client(headers=bearer(key)).get("/v2/sets").json()
    assert [entry["name"] for entry in wide["sets"]] == ["interpol", "police"]
    assert (wide["store"], wide["generation"]) == (narrow["store"], narrow["generation"])
    assert wide["state"] != narrow["state"]


def test_a_disabled_party_is_out_within_a_second_and_back_again(office: Office) -> None:
    key = office.add("On And Off")
    office.party("disable", "On And Off")
    office.all_say(401, bearer(key))
    office.party("enable", "On And Off")
    office.all_say(200, bearer(key))


def test_a_removed_key_is_out_within_a_second(office: Office) -> None:
    key = office.add("Lost Key")
    new = office.party("rotate-key", "Lost Key", "--overlap", "7d", "--json")["key"]
    office.all_say(200, bearer(new))
    office.all_say(200, bearer(key))
    old = office.party("show", "Lost Key", "--json")["keys"][0]["number"]
    office.party("remove-key", "Lost Key", old)
    office.all_say(401, bearer(key))
    office.all_say(200, bearer(new))


def test_keys_are_rotated_under_load_without_a_failed_request(office: Office) -> None:
    current = [office.add("Rotating")]
    failed: list[str] = []
    answered: list[dict[str, int]] = [{} for _ in range(4)]  # by key, for each thread
    stop = threading.Event()

    def ask(mine: dict[str, int]) -> None:
        while not stop.is_set():
            key = current[0]
            with office.server.client(headers=bearer(key)) as client:
                while not stop.is_set() and key == current[0]:
                    response = client.post("/v2/check", json={"md5": [KNOWN, *MISSED]})
                    mine[key] = mine.get(key, 0) + 1
                    if response.status_code != 200:
                        failed.append(response.text)

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in answered]
    for thread in threads:
        thread.start()
    for _ in range(3):
        old = office.party("show", "Rotating", "--json")["keys"][-1]["number"]
        new = office.party("rotate-key", "Rotating", "--overlap", "1h", "--json")["key"]
        office.all_say(200, bearer(new))
        current[0] = new
        office.keys.append(new)
        eventually(lambda new=new: all(mine.get(new, 0) > 10 for mine in answered))
        office.party("remove-key", "Rotating", old)
        office.all_say(200, bearer(new))
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_quota_counts_hashes_over_both_workers(office: Office) -> None:
    key = office.add("Small Quota", "--daily-quota", "1000")
    allowed = 0
    for _ in range(30):  # a new connection each time, so that both workers are asked
        response = check(office, bearer(key), MISSED)
        if response.status_code == 200:
            allowed += len(MISSED)
            assert response.headers["ratelimit-policy"] == '"day";q=1000;w=86400'
            assert response.headers["ratelimit"].startswith(f'"day";r={1000 - allowed};t=')
    assert allowed == 1000
    assert_problem(response, 429, "has 0 left, fewer than this request's 50")
    assert 0 < int(response.headers["retry-after"]) <= 86400
    assert response.headers["ratelimit"].startswith('"day";r=0;')
    assert response.json()["type"] == "/problems/quota-exceeded"
    office.party("change", "Small Quota", "--daily-quota", "none")

    def without_a_limit() -> bool:
        answers = check_everywhere(office, key)
        return all(answer.status_code == 200 and "ratelimit" not in answer.headers for answer in answers)

    eventually(without_a_limit, WITHIN)


def test_who_keeps_to_retry_after_gets_the_rate_and_no_more(office: Office) -> None:
    key = office.add("Slow", "--max-rate", "100/s")
    began, allowed, waits = time.monotonic(), 0, [0.0]
    while len(waits) < 6:
        response = check(office, bearer(key), MISSED)
        if response.status_code == 429:
            assert_problem(response, 429, "may check 100 hashes a second")
            waits.append(float(response.json()["retry_after"]))
            time.sleep(waits[-1])  # as a client does
        else:
            assert response.status_code == 200
            allowed += len(MISSED)
    took = time.monotonic() - began
    assert 100 * sum(waits[:-1]) * 0.5 < allowed <= 100 * (took + 1) + len(MISSED)


def test_no_key_and_no_hash_that_missed_is_anywhere(office: Office) -> None:
    """Last in this file: all the tests above have left what they leave."""
    key = office.add("Last")
    with office.server.client(headers=bearer(key)) as client:
        asked = {"md5": [KNOWN, *MISSED]}
        assert client.post("/v2/check", json=asked, headers={"X-Request-Id": "the-last"}).status_code == 200
        client.post("/v2/check", content=json.dumps({"md5": MISSED})[:-3], headers={"Content-Type": "text/x"})
        client.post("/v2/check?type=md5", content=f"{MISSED[0]}x", headers={"Content-Type": "text/plain"})
        client.get(f"/v2/check?type={MISSED[0]}")
    eventually(lambda: is_on_disk(office.data, "the-last", len(asked["md5"])))
    secrets = [each.encode() for each in office.keys]
    hashes = [form for each in MISSED for form in (each.encode(), each.upper().encode(), bytes.fromhex(each))]
    files = [file for file in office.data.rglob("*") if file.is_file()]
    assert {"ledger.sqlite", "ledger.sqlite-wal", "key-secret", "limits.bin"} <= {file.name for file in files}
    for content in [office.server.log.encode(), *(file.read_bytes() for file in files)]:
        assert not any(secret in content for secret in secrets)
        assert not any(each in content for each in hashes)
    assert KNOWN not in office.server.log
    assert "127.0.0.1" not in (office.data / "ledger.sqlite").read_bytes().decode("latin-1")
    assert "Traceback" not in office.server.log


def is_on_disk(data: Path, request: str, checked: int) -> bool:
    """A request's hit has been folded, and its hashes have been counted."""
    with closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
        parties = [row[0] for row in ledger.execute("SELECT party FROM matches WHERE request = ?", (request,))]
        query = "SELECT sum(checked) FROM counts WHERE party = ?"
        return bool(parties) and ledger.execute(query, parties[:1]).fetchone() == (checked,)


def test_it_listens_to_the_world_only_once_there_is_a_party(tmp_path: Path) -> None:
    """It gets as far as a port that is taken, so that nothing does listen to the world."""
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serve = ("serve", "--new", "--host", "0.0.0.0", "--port", taken.getsockname()[1], "--data-dir", data)
        assert "no parties are configured" in _refusal(*serve, cwd=tmp_path)
        assert "no parties are configured" in _refusal("serve", "--host", "::", "--data-dir", data, cwd=tmp_path)
        assert run("party", "add", "Example", "--data-dir", data, cwd=tmp_path).code == 0
        assert "cannot listen on 0.0.0.0" in _refusal(*serve, cwd=tmp_path)
        assert run("party", "disable", "Example", "--data-dir", data, cwd=tmp_path).code == 0
        assert "cannot listen on 0.0.0.0" in _refusal(*serve, cwd=tmp_path)


def _refusal(*arguments: object, cwd: Path) -> str:
    ran = run(*arguments, cwd=cwd)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    return " ".join(ran.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "x:y"], "cannot name a party"),
        (["add", "x", "--max-rate", "fast"], "is not a rate"),
        (["add", "x", "--max-rate", "9" * 400], "is not a rate"),
        (["add", "x", "--daily-quota", "-1"], "is not a whole number such as"),
        (["add", "x", "--sets", ","], "no set is named"),
        (["add", "x", "--permission", "root"], "unknown permission root"),
        (["rotate-key", "x", "--overlap", "soon"], "is not a duration such as 30s, 15m, 6h or 30d"),
        (["show", "nobody"], "no party named 'nobody'"),
    ],
)
def test_the_operators_mistakes_are_sentences(tmp_path: Path, arguments: list[str], words: str) -> None:
    Ledger(tmp_path / "data", create=True).close()
    assert words in _refusal("party", *arguments, "--data-dir", tmp_path / "data", cwd=tmp_path)


def test_a_set_that_is_not_there_is_taken_and_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    added = run("party", "add", "Early", "--sets", "police", "--data-dir", data, "--json", cwd=tmp_path)
    assert added.code == 0
    assert "no set named police, which matches nothing until it is loaded; it has no sets" in added.err
    assert not (data / "data.mdb").exists(), "looking for the sets made a store"
    load(data, "police", f"md5,id\n{KNOWN},P-1\n")
    load(data, "interpol", f"md5,id\n{KNOWN},I-1\n")
    late = run("party", "add", "Late", "--sets", "police,interpol", "--data-dir", data, cwd=tmp_path)
    assert late.out.startswith("hs_")
    assert "no set named" not in late.err
    changed = run("party", "allow", "Late", "--sets", "polcie,police", "--data-dir", data, "--json", cwd=tmp_path)
    assert changed.json["sets"] == ["polcie", "police"]
    assert "party allow is now called party change" in changed.err
    assert "no set named polcie, which" in changed.err
    assert "the sets are interpol, police" in changed.err
    assert "no set" not in run("party", "change", "Late", "--sets", "all", "--data-dir", data, cwd=tmp_path).err


def test_a_server_whose_key_secret_is_lost_does_not_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run("party", "add", "Example", "--data-dir", data, cwd=tmp_path).code == 0
    (data / "key-secret").unlink()
    ran = run("serve", "--port", 0, "--data-dir", data, cwd=tmp_path)
    assert ran.code == 3
    assert "key-secret is missing, and without it no key works; restore it from a backup" in ran.err
    assert "hashserver party remove-key Example 1" in ran.err
    assert "Traceback" not in ran.err
