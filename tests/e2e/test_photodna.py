"""PhotoDNA from the files of a set to the answers of the server, in every form that both take."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving import Server, load, run, serving

from hashserver.client import AsyncClient, CheckResult, Client, Entry, Invalid

ARROW = "application/vnd.apache.arrow.stream"


def code(number: int) -> bytearray:
    """A hash far from those of other numbers."""
    return bytearray(
        np.minimum(255, np.random.default_rng(number).exponential(45, 144)).astype(np.uint8).tobytes()
    )


def text(digest: bytes | bytearray) -> str:
    return base64.b64encode(digest).decode()


def near(number: int, by: int) -> bytearray:
    moved = code(number)
    moved[7] += by if moved[7] < 128 else -by
    return moved


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("photodna")
    data = folder / "data"
    load(
        data,
        "csv",
        f"photodna,id\n{code(0).hex().upper()},C-0\n{text(code(1))},C-1\n",
        "--max-distance",
        "photodna=90",
    )
    rows = [{"photodna": code(2).hex(), "id": "J-2"}, {"photodna": text(code(3)), "id": "J-3"}]
    load(data, "jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    load(data, "plain", f"{code(4).hex()}\n{text(code(5))}\n")
    load(data, "exact", f"{text(code(6))}\n", "--max-distance", "photodna=0")
    load(data, "good", f"{text(near(7, 20))}\n", "--role", "known-good")
    load(data, "suppressed", f"{text(near(7, 40))}\n")
    for name, column in (
        ("binary", pa.array([bytes(code(8))], pa.binary(144))),
        ("hexadecimal", pa.array([code(9).hex()])),
        ("coded", pa.array([text(code(10))])),
    ):
        pq.write_table(pa.table({"photodna": column}), folder / f"{name}.parquet")
        ran = run("load", folder / f"{name}.parquet", "--set", name, "--data-dir", data, cwd=folder)
        assert ran.code == 0, ran.err
    with serving(data) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def check(client: httpx.Client, body: bytes, content_type: str, query: str = "") -> list[tuple[int, int, str]]:
    response = client.post(f"/v2/check{query}", content=body, headers={"Content-Type": content_type})
    assert response.status_code == 200, response.text
    matches = response.json()["matches"]
    return [(match["index"], match["distance"], entry["set"]) for match in matches for entry in match["entries"]]


SETS = ["csv", "csv", "jsonl", "jsonl", "plain", "plain", "exact", "suppressed", "binary", "hexadecimal", "coded"]


def arrow(digests: list[bytearray]) -> bytes:
    sink = io.BytesIO()
    batch = pa.record_batch([pa.array([bytes(digest) for digest in digests], pa.binary(144))], names=["photodna"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@pytest.mark.parametrize("form", ["hexadecimal", "base64", "lines", "coded lines", "packed", "arrow"])
def test_every_form_of_set_and_of_body_finds_the_same(client: httpx.Client, form: str) -> None:
    asked = [code(number) for number in range(11)] + [code(99)]
    body, content_type, query = {
        "hexadecimal": (json.dumps({"photodna": [one.hex() for one in asked]}).encode(), "application/json", ""),
        "base64": (json.dumps({"photodna": [text(one) for one in asked]}).encode(), "application/json", ""),
        "lines": ("\n".join(one.hex() for one in asked).encode(), "text/plain", "?type=photodna"),
        "coded lines": ("\n".join(text(one) for one in asked).encode(), "text/plain", "?type=photodna"),
        "packed": (b"".join(asked), "application/octet-stream", "?type=photodna"),
        "arrow": (arrow(asked), ARROW, ""),
    }[form]
    expected = [(number, 0, name) for number, name in enumerate(SETS) if name != "suppressed"]
    assert check(client, body, content_type, query) == expected


def test_the_distance_is_the_sets_own_unless_the_request_names_one(client: httpx.Client) -> None:
    asked = [near(0, 91), near(2, 91), near(6, 1)]
    packed = b"".join(asked), "application/octet-stream"
    assert check(client, *packed, "?type=photodna") == [(1, 91, "jsonl")]
    assert check(client, *packed, "?type=photodna&max_distance=91") == [
        (0, 91, "csv"),
        (1, 91, "jsonl"),
        (2, 1, "exact"),
    ]
    body = json.dumps({"photodna": [one.hex() for one in asked], "max_distance": {"photodna": 90}}).encode()
    assert check(client, body, "application/json") == [(2, 1, "exact")]
    response = client.post("/v2/check", json={"photodna": [], "max_distance": {"photodna": 256}})
    assert response.status_code == 422
    assert response.json()["detail"] == "a distance for photodna must be from 0 to 255, not 256"


def test_a_known_good_picture_that_is_nearer_keeps_the_match_back(client: httpx.Client) -> None:
    packed = "application/octet-stream", "?type=photodna"
    assert check(client, bytes(code(7)), *packed) == []
    assert check(client, bytes(near(7, 40)), *packed) == [(0, 0, "suppressed")]


def test_the_sets_say_their_distances(client: httpx.Client) -> None:
    listed = {entry["name"]: entry["max_distance"] for entry in client.get("/v2/sets").json()["sets"]}
    assert listed["csv"] == {"photodna": 90}
    assert listed["plain"] == {"photodna": 200}
    assert listed["exact"] == {"photodna": 0}


@pytest.mark.parametrize(
    "written",
    [lambda digest: digest.hex(), lambda digest: text(digest), bytes],
    ids=["hexadecimal", "base64", "bytes"],
)
def test_the_clients_take_it_in_every_form(server: Server, written: Callable[[bytearray], str | bytes]) -> None:
    async def ask() -> CheckResult:
        async with AsyncClient(server.url) as client:
            return await client.check(photodna=asked, max_distance=distances)

    asked, distances = [written(near(2, 5)), written(code(99)), "A" * 191 + "!", written(code(0))], {"photodna": 5}
    with Client(server.url) as client:
        result = client.check(photodna=asked, max_distance=distances)
    assert result == asyncio.run(ask())
    found = [(match.type, match.index, match.distance, match.entries) for match in result.matches]
    assert found == [
        ("photodna", 0, 5, (Entry("jsonl", None, "J-2"),)),
        ("photodna", 3, 0, (Entry("csv", None, "C-0"),)),
    ]
    assert result.checked == {"photodna": 3}
    assert result.invalid == (Invalid("photodna", 2, "the 192 characters are not base64 of 144 bytes"),)


def test_a_listing_is_checked(server: Server, tmp_path: Path) -> None:
    listing = tmp_path / "listing.csv"
    listing.write_text(f"photodna,name\n{text(near(2, 5))},a.jpg\n{code(98).hex()},b.jpg\n{'A' * 190}!!,c.jpg\n")
    ran = run("check", listing, "--server", server.url, cwd=tmp_path)
    assert ran.code == 4, "one line could not be checked"
    assert "a.jpg" in ran.out
    assert "b.jpg" not in ran.out


def test_blank_pictures_and_broken_base64_are_turned_away_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text(f"photodna\n{'0' * 288}\n{'A' * 192}\n{'A' * 190}!!\n{text(code(1))}\n")
    arguments = ("--set", "x", "--data-dir", tmp_path / "data", "--rejects", tmp_path / "rejects.csv")
    run("load", tmp_path / "set.csv", *arguments, cwd=tmp_path)
    reasons = (tmp_path / "rejects.csv").read_text().splitlines()[1:]
    assert [reason.split(",")[:2] for reason in sorted(reasons)] == [
        ["2", "the photodna of a blank picture: it is everywhere and harmless"],
        ["3", "the photodna of a blank picture: it is everywhere and harmless"],
        ["4", "photodna: the 192 characters are not base64 of 144 bytes"],
    ]
