"""Tests of `hashserver.client.protocol`."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES
from hashserver.client import CheckResult, ClientError, Entry, Invalid, Match
from hashserver.client.hashes import RequestBatch
from hashserver.client.protocol import Request, Tries, pause, read_check, read_object, retry_after
from hashserver.client.results import merged

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT
BATCH = RequestBatch(HASH_TYPES["md5"], np.zeros((2, 16), np.uint8), np.array([4, 9]))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.integers(1, 1_000), st.none() | st.floats(0, 1e300))
def test_a_pause_is_bounded_and_never_shorter_than_the_server_asks(failed: int, asked: float | None) -> None:
    wait = pause(failed, asked)
    assert 0 <= wait <= 37.5
    if asked is None:
        assert 0.75 * min(30, 2.0 ** (failed - 3)) <= wait <= 1.25 * min(30, 2.0 ** (failed - 3))
    else:
        assert wait >= min(30, asked)


def test_no_two_requests_share_an_id_and_all_tries_of_one_do() -> None:
    request = Request("GET", "/v2/sets")
    assert request.headers == request.headers
    assert request.id != Request("GET", "/v2/sets").id
    assert len(bytes.fromhex(request.id)) == 16


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again_so_many_times(status: int) -> None:
    tries = Tries(Request("GET", "/"), "http://x", 2)
    assert tries.pause_after_answer(status, {"retry-after": "0"}) == 0
    assert tries.pause_after_answer(status, {}) is not None
    assert tries.pause_after_answer(status, {}) is None


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 413, 422, 500])
def test_other_answers_are_read(status: int) -> None:
    assert Tries(Request("GET", "/"), "http://x", 2).pause_after_answer(status, {}) is None


def test_what_must_not_happen_twice_is_sent_again_only_when_it_cannot_have_arrived() -> None:
    once = Request("POST", "/", repeatable=False)
    assert Tries(once, "http://x", 2).pause_after_error(httpx.ConnectError("no")) > 0
    assert Tries(once, "http://x", 2).pause_after_answer(503, {}) is not None
    assert Tries(once, "http://x", 2).pause_after_answer(504, {}) is None
    with pytest.raises(ClientError, match="not known"):
        Tries(once, "http://x", 2).pause_after_error(httpx.ReadError("reset"))


@pytest.mark.parametrize(
    ("status", "content", "headers", "refused", "words"),
    [
        (401, b'{"detail": "this key is not known"}', {}, True, r"refused \(401\): this key is not known"),
        (403, b"<html>", {}, True, "not JSON"),
        (422, b'{"title": "No"}', {}, True, r"\(422\): No"),
        (503, b'{"title": "Busy"}', {}, False, r"\(503\): Busy"),
        (502, b"<html>", {}, False, "answered 502 with something that is not JSON"),
        (200, b"[]", {}, False, "is it a hashserver"),
        (301, b"", {"Location": "https://other/"}, True, "redirects to https://other/"),
    ],
)
def test_refusals_are_sentences(
    status: int, content: bytes, headers: dict[str, str], refused: bool, words: str
) -> None:
    response = httpx.Response(status, content=content, headers=headers)
    with pytest.raises(ClientError, match=words) as raised:
        read_object(response, "http://x")
    assert raised.value.refused is refused


def _answer(**changed: Any) -> dict[str, Any]:
    match = {"type": "md5", "index": 1, "hash": "00", "distance": 0, "truncated": True}
    entries = [{"set": "police", "category": None, "id": "A", "later": 1}]
    answer = {"generation": 3, "checked": {"md5": 2}, "matches": [{**match, "entries": entries}], "later": 1}
    return answer | changed


def test_an_answer_is_read_with_the_indices_of_the_caller() -> None:
    invalid = [{"type": "md5", "index": 0, "reason": "no"}]
    match = Match("md5", 9, "00", 0, (Entry("police", None, "A"),), truncated=True)
    assert read_check(_answer(invalid=invalid), BATCH, "http://x") == CheckResult(
        (3,), {"md5": 2}, (match,), (Invalid("md5", 4, "no"),)
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        _answer(generation=None),
        _answer(checked=[]),
        _answer(matches=[{}]),
        _answer(matches=[{"type": "md5", "index": 2, "hash": "", "distance": 0, "entries": []}]),
        _answer(matches=3),
        _answer(invalid=["x"]),
    ],
)
def test_an_answer_of_something_else_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="did not answer like a hashserver") as raised:
        read_check(answer, BATCH, "http://x")
    assert raised.value.refused


def test_results_are_merged_in_order() -> None:
    one, two = (Match("md5", index, "00", 0, ()) for index in (3, 7))
    parts = [CheckResult((9,), {"md5": 5}, (one,)), CheckResult((8,), {"md5": 2}, (two,))]
    invalid = Invalid("pdq", 0, "no")
    result = merged(parts, ["md5", "pdq"], [invalid])
    assert result == CheckResult((8, 9), {"md5": 7, "pdq": 0}, (one, two), (invalid,))
    assert result.generation == 8
