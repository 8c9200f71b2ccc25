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
from hashserver.client.protocol import Request, Response, Tries, pause, read_check, read_object, retry_after
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
    lowered = {name.lower(): value for name, value in headers.items()}
    response = Response(status, "", lowered, content, "location" in lowered)
    with pytest.raises(ClientError, match=words) as raised:
        read_object(response, "http://x")
    assert raised.value.refused is refused


def _answer(**changed: Any) -> dict[str, Any]:
    match = {"type": "md5", "index": 1, "hash": "00" * 16, "distance": 0, "truncated": True}
    entries = [{"set": "police", "category": None, "id": "A", "later": 1}]
    answer = {"generation": 3, "checked": {"md5": 2}, "matches": [{**match, "entries": entries}], "later": 1}
    return answer | changed


def test_an_answer_is_read_with_the_indices_of_the_caller() -> None:
    match = Match("md5", 9, "00" * 16, 0, (Entry("police", None, "A"),), truncated=True)
    assert read_check(_answer(), BATCH, "http://x") == CheckResult((3,), {"md5": 2}, (match,))
    told = read_check(_answer(store="a1", state="b2"), BATCH, "http://x")
    assert (told.store, told.state) == ("a1", "b2")


_MATCH = {"type": "md5", "index": 1, "hash": "00" * 16, "distance": 0}
_ENTRIES = [{"set": "police", "category": None, "id": "A"}]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_answer(checked={"md5": 1}), "has checked 1 md5 of 2 md5 hashes"),
        (_answer(checked={}), "has checked none of 2 md5 hashes"),
        (_answer(checked={"md5": 0, "sha1": 2}), "has checked 0 md5, 2 sha1 of 2 md5"),
        (_answer(checked={"md5": 2, "pdq": 1}), "has checked 2 md5, 1 pdq of 2 md5"),
        (_answer(invalid=[{"type": "md5", "index": 0, "reason": "no"}]), "calls 1 of 2 well-formed md5 hashes"),
        (_answer(matches=[_MATCH | {"index": 2, "entries": _ENTRIES}]), "names a hash that was not sent"),
        (_answer(matches=[_MATCH | {"type": "sha1", "entries": _ENTRIES}]), "names a hash that was not sent"),
        (_answer(matches=[_MATCH | {"hash": "01" * 16, "entries": _ENTRIES}]), "names another hash than was sent"),
        (_answer(matches=[_MATCH | {"distance": 3, "entries": _ENTRIES}]), "at a distance of 3 a match"),
    ],
)
def test_an_answer_to_something_else_is_trouble_and_not_clean(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words) as raised:
        read_check(answer, BATCH, "http://x")
    assert raised.value.refused


def test_an_answer_that_carries_another_id_is_to_another_request() -> None:
    for told, right in (({}, True), ({"x-request-id": "a"}, True), ({"x-request-id": "b"}, False)):
        response = Response(200, "OK", told, b"{}")
        if right:
            assert read_object(response, "http://x", "a") == {}
        else:
            with pytest.raises(ClientError, match="the answer to another request"):
                read_object(response, "http://x", "a")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        _answer(generation=None),
        _answer(checked=[]),
        _answer(matches=[{}]),
        _answer(matches=[_MATCH | {"entries": []}]),
        _answer(matches=[_MATCH | {"entries": [{"set": 1, "category": None, "id": None}]}]),
        _answer(matches=[_MATCH | {"index": True, "entries": _ENTRIES}]),
        _answer(checked={"md5": "2"}),
        _answer(state=7),
        _answer(matches=3),
        _answer(invalid={}),
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
