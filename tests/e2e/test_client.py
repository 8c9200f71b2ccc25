"""The Python client against a real server, in threads and in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Server, eventually, load, md5_of, serving

from hashcore.hashtypes import HASH_TYPES
from hashserver.client import AsyncClient, CheckResult, Client, ClientError, Entry, Invalid, Match

KNOWN = [md5_of(f"known {number}") for number in range(20)]
PICTURE = bytes(range(7, 39))

Check = Callable[..., CheckResult]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("client") / "data"
    rows = "".join(f"{text},baseline,A-{number}\n" for number, text in enumerate(KNOWN))
    load(data, "police", f"md5,category,id\n{rows}")
    load(data, "pictures", f"pdq,id\n{PICTURE.hex()},P-1\n")
    with serving(data) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def check(request: pytest.FixtureRequest, server: Server) -> Check:
    """One check with a client of its own; `options` are the client's."""

    def with_threads(options: dict[str, Any] | None = None, **asked: Any) -> CheckResult:
        with Client(server.url, **(options or {})) as client:
            return client.check(**asked)

    def with_tasks(options: dict[str, Any] | None = None, **asked: Any) -> CheckResult:
        async def run() -> CheckResult:
            async with AsyncClient(server.url, **(options or {})) as client:
                return await client.check(**asked)

        return asyncio.run(run())

    return with_threads if request.param == "sync" else with_tasks


def _md5(index: int, number: int) -> Match:
    return Match("md5", index, KNOWN[number], 0, (Entry("police", "baseline", f"A-{number}"),))


def _near(bits: int) -> bytes:
    return (int.from_bytes(PICTURE, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")


def test_md5_and_pdq_with_invalid_hashes_among_them(check: Check) -> None:
    result = check(
        md5=[md5_of("unknown"), KNOWN[3].upper(), "", bytes.fromhex(KNOWN[5]), "é" * 32],
        pdq=["0" * 63, _near(12), _near(40).hex()],
    )
    assert (len(result.store), len(result.state)) == (32, 16)
    assert replace(result, store="", states=()) == CheckResult(
        generations=(2,),
        checked={"md5": 3, "pdq": 2},
        matches=(_md5(1, 3), _md5(3, 5), Match("pdq", 1, _near(12).hex(), 12, (Entry("pictures", None, "P-1"),))),
        invalid=(
            Invalid("md5", 2, "expected 32 hexadecimal digits, got 0"),
            Invalid("md5", 4, "character 1 is not a hexadecimal digit"),
            Invalid("pdq", 0, "expected 64 hexadecimal digits, got 63"),
        ),
    )


@pytest.mark.parametrize(("distance", "found"), [(11, []), (12, [12]), (64, [12])])
def test_a_distance_of_the_callers(check: Check, distance: int, found: list[int]) -> None:
    result = check(pdq=[_near(12)], md5=[KNOWN[0]], max_distance={"pdq": distance})
    assert [match.distance for match in result.matches if match.type == "pdq"] == found
    assert _md5(0, 0) in result.matches


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_are_merged_in_the_order_of_the_caller(check: Check, batch: int) -> None:
    asked = [md5_of(f"unknown {number}") for number in range(60)]
    places = {3: 0, 20: 7, 21: 8, 58: 19}
    for place, number in places.items():
        asked[place] = KNOWN[number]
    asked[30] = "bad"
    result = check({"batch": batch, "connections": 3}, md5=asked)
    assert result.matches == tuple(_md5(place, number) for place, number in places.items())
    assert result.checked == {"md5": 59}
    assert [bad.index for bad in result.invalid] == [30]


def test_arrays_of_any_layout(check: Check) -> None:
    array = np.frombuffer(bytes.fromhex("".join(KNOWN)), np.uint8).reshape(-1, 16)
    assert check(md5=array).matches == tuple(_md5(number, number) for number in range(20))
    every_third = check(md5=array[::-3])
    assert every_third.matches == tuple(_md5(place, 19 - 3 * place) for place in range(7))


@pytest.mark.parametrize("asked", [{"md5": []}, {"md5": ["bad"]}, {"pdq": np.zeros((0, 32), np.uint8), "md5": []}])
def test_a_check_of_nothing_is_answered_by_a_generation(check: Check, asked: dict[str, Any]) -> None:
    result = check(**asked)
    assert result.generations == (2,)
    assert result.checked == dict.fromkeys(asked, 0)
    assert result.matches == ()


def test_what_the_server_refuses_is_a_sentence(server: Server) -> None:
    with Client(server.url) as client:
        with pytest.raises(ClientError, match=rf"{server.url} refused \(422\): .*from 0 to 64") as raised:
            client.check_packed(HASH_TYPES["pdq"], np.zeros((1, 32), np.uint8), 65)
        assert raised.value.refused
    elsewhere = Client(server.url + "/elsewhere/")
    with elsewhere, pytest.raises(ClientError, match=r"refused \(404\): there is nothing at this address"):
        elsewhere.check(md5=[KNOWN[0]])


def test_sets(server: Server) -> None:
    async def run() -> dict[str, Any]:
        async with AsyncClient(server.url) as client:
            return await client.sets()

    with Client(server.url) as client:
        assert client.sets() == asyncio.run(run())
        assert [entry["name"] for entry in client.sets()["sets"]] == ["pictures", "police"]


def test_many_checks_at_once_share_an_async_client(server: Server) -> None:
    async def run() -> list[CheckResult]:
        async with AsyncClient(server.url, connections=2) as client:
            return await asyncio.gather(*(client.check(md5=[text]) for text in KNOWN * 5))

    assert [result.matches for result in asyncio.run(run())] == [(_md5(0, place % 20),) for place in range(100)]


def test_a_check_names_the_generation_that_answered(tmp_path: Path) -> None:
    load(tmp_path / "data", "police", f"{KNOWN[0]}\n", "--type", "md5")
    with serving(tmp_path / "data") as running, Client(running.url) as client:
        one = client.check(md5=[KNOWN[1]])
        load(tmp_path / "data", "more", f"{KNOWN[1]}\n", "--type", "md5")
        eventually(lambda: client.sets()["generation"] == 2)
        two = client.check(md5=[KNOWN[1]])
    assert (one.generation, len(one.matches)) == (1, 0)
    assert (two.generation, len(two.matches)) == (2, 1)
    assert (one.store == two.store, one.state == two.state) == (True, False)
