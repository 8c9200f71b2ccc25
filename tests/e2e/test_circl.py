"""CIRCL hashlookup, asked by its own client, unmodified, and by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from parties import NAME, add_party, basic, ledger_rows
from pyhashlookup import Hashlookup
from serving import Server, load, md5_of, serving

MD5S = {name: md5_of(name) for name in ("one", "two", "absent")}
SHA1 = hashlib.sha1(b"one").hexdigest()
SHA256 = hashlib.sha256(b"one").hexdigest()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("circl") / "data"
    rows = [f"{MD5S['one']},{SHA1},{SHA256},baseline,A-1", f"{MD5S['two']},,,other,A-2"]
    load(data, "police", "\n".join(["md5,sha1,sha256,category,id", *rows, ""]), "--format", "csv")
    load(data, "ngo", f"{MD5S['one']}\n")
    return data


@pytest.fixture(scope="module")
def key(data: Path) -> str:
    return add_party(data)


@pytest.fixture(scope="module")
def server(data: Path, key: str) -> Iterator[Server]:
    with serving(data) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server, key: str) -> Hashlookup:
    address = server.url.removeprefix("http://")
    return Hashlookup(f"http://{NAME.replace(' ', '%20')}:{key}@{address}")


def get(server: Server, key: str, path: str) -> httpx.Response:
    with server.client(headers=basic(key)) as plain:
        return plain.get(path)


def sets_of(found: Any) -> list[tuple[str, str | None, str | None]]:
    return [(entry["set"], entry["category"], entry["id"]) for entry in found["entries"]]


def test_pyhashlookup_finds_what_is_known(client: Hashlookup) -> None:
    found: dict[str, Any] = client.lookup(MD5S["one"])
    assert found["MD5"] == MD5S["one"].upper()
    assert sets_of(found) == [("ngo", None, None), ("police", "baseline", "A-1")]
    assert client.lookup(SHA1)["SHA-1"] == SHA1.upper()
    assert client.lookup(SHA256)["SHA-256"] == SHA256.upper()
    assert client.lookup(MD5S["one"].upper()) == found


def test_a_file_that_is_found_is_not_taken_for_a_good_one(client: Hashlookup) -> None:
    found: dict[str, Any] = client.lookup(MD5S["one"])
    assert found["hashlookup:trust"] < 50
    assert found["KnownMalicious"] == "ngo, police"


def test_pyhashlookup_is_told_what_is_not_known(client: Hashlookup) -> None:
    assert client.lookup(MD5S["absent"]) == {"message": "Non existing MD5", "query": MD5S["absent"]}
    assert client.lookup("0" * 40) == {"message": "Non existing SHA-1", "query": "0" * 40}
    assert client.lookup("0" * 64) == {"message": "Non existing SHA-256", "query": "0" * 64}


def test_pyhashlookup_looks_many_up(client: Hashlookup) -> None:
    found: list[dict[str, Any]] = client.lookup([MD5S["absent"], MD5S["two"], MD5S["one"].upper()])
    assert [one["MD5"] for one in found] == [MD5S["two"].upper(), MD5S["one"].upper()]
    assert client.lookup([SHA1, "0" * 40])[0]["SHA-1"] == SHA1.upper()
    assert client.lookup([MD5S["absent"]]) == []
    assert client.lookup([]) == []


def test_one_bad_hash_does_not_void_a_bulk(client: Hashlookup) -> None:
    found: list[dict[str, Any]] = client.md5_bulk_lookup(["zz", MD5S["two"], 7])
    assert [one["MD5"] for one in found] == [MD5S["two"].upper()]


def test_pyhashlookup_reads_the_info(client: Hashlookup) -> None:
    info = client.info()
    assert info["hashlookup-version"] == "1.2"
    assert info["stat:hashlookup_total_keys"] == 5


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        (f"/lookup/md5/{MD5S['absent']}", 404, "Non existing MD5"),
        ("/lookup/md5/123", 400, "MD5 value incorrect"),
        (f"/lookup/sha1/{'x' * 40}", 400, "SHA-1 value incorrect"),
        (f"/lookup/md6/{'0' * 32}", 404, "hash type 'md6' cannot be looked up"),
        (f"/lookup/pdq/{'0' * 64}", 404, "hash type 'pdq' cannot be looked up"),
    ],
)
def test_errors_are_messages(server: Server, key: str, path: str, status: int, message: str) -> None:
    answer = get(server, key, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert message in answer.json()["message"]


@pytest.mark.parametrize("body", ["", "[]", '{"hashes": 7}', '{"md5": []}', '{"hashes": ['])
def test_a_bulk_without_hashes_is_refused(server: Server, key: str, body: str) -> None:
    with server.client(headers=basic(key)) as plain:
        answer = plain.post("/bulk/md5", content=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/info", f"/lookup/md5/{MD5S['one']}"])
def test_nobody_is_answered_without_a_key(server: Server, path: str) -> None:
    with server.client() as plain:
        answer = plain.get(path)
    assert answer.status_code == 401
    assert "key" in answer.json()["message"].lower()


def test_a_hit_is_in_the_ledger(data: Path, client: Hashlookup) -> None:
    found: dict[str, Any] = client.lookup(MD5S["two"])
    assert found["entries"] == [{"set": "police", "category": "other", "id": "A-2"}]
    assert ("A-2",) in ledger_rows(data, "SELECT external_id FROM entries JOIN matches ON entry = entries.id")


def test_a_large_bulk_is_answered_whole(client: Hashlookup) -> None:
    asked = [md5_of(str(number)) for number in range(20_000)]
    asked[5_000], asked[15_000] = MD5S["two"], MD5S["one"]
    found: list[dict[str, Any]] = client.lookup(asked)
    assert [one["MD5"] for one in found] == [MD5S["two"].upper(), MD5S["one"].upper()]
