from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES, HashType
from hashserver.server.bodies.request import CheckRequest, InvalidHash
from hashserver.server.bodies.text import parse_text
from hashserver.server.problems import Problem, RequestLimits

MD5 = HASH_TYPES["md5"]
TYPES = st.sampled_from(list(HASH_TYPES.values()))


def model(body: bytes, hash_type: HashType) -> tuple[list[tuple[int, bytes]], list[int]]:
    """Good lines with their digests, and bad lines."""
    good, bad = [], []
    for number, line in enumerate(body.split(b"\n")):
        text = line.strip(b" \t\r")
        if re.fullmatch(rb"[0-9a-fA-F]{%d}" % hash_type.hex_digits, text):
            good.append((number, bytes.fromhex(text.decode())))
        elif text:
            bad.append(number)
    return good, bad


def read(request: CheckRequest) -> tuple[list[tuple[int, bytes]], list[int]]:
    (asked,) = request.asked
    places = range(len(asked.digests)) if asked.index is None else asked.index.tolist()
    digests = [row.tobytes() for row in asked.digests]
    return list(zip(places, digests, strict=True)), [one.index for one in request.invalid]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[HashType, bytes]:
    hash_type = draw(TYPES)
    digest = st.binary(min_size=hash_type.width, max_size=hash_type.width).map(bytes.hex).map(str.encode)
    line = st.one_of(
        digest,
        digest.map(bytes.upper),
        st.builds(lambda a, b, c: a + b + c, st.sampled_from([b" ", b"\t ", b"\r"]), digest, st.just(b"  \r")),
        digest.map(lambda text: text[:-1]),
        digest.map(lambda text: text + b"0"),
        digest.map(lambda text: text[:5] + b"g" + text[6:]),
        digest.map(lambda text: text[:5] + b"\x00" + text[6:]),
        digest.map(lambda text: b"\xef\xbb\xbf" + text),
        st.sampled_from([b"", b" ", b"\r", b"\t\t", b"-", b"\xff" * hash_type.hex_digits]),
        st.binary(max_size=70),
    )
    lines = draw(st.lists(line, max_size=12))
    return hash_type, draw(st.sampled_from([b"\n", b"\r\n"])).join(lines) + draw(
        st.sampled_from([b"", b"\n", b"\n\n"])
    )


@settings(max_examples=300, deadline=None)
@given(case=bodies())
def test_every_line_is_a_hash_or_named_with_its_number(case: tuple[HashType, bytes]) -> None:
    hash_type, body = case
    assert read(parse_text(body, hash_type, RequestLimits())) == model(body, hash_type)
    assert read(parse_text(bytearray(body), hash_type, RequestLimits())) == model(body, hash_type)


@settings(max_examples=200, deadline=None)
@given(hash_type=TYPES, body=st.binary(max_size=200))
def test_arbitrary_bytes_are_lines_like_any_other(hash_type: HashType, body: bytes) -> None:
    assert read(parse_text(body, hash_type, RequestLimits())) == model(body, hash_type)


def test_a_bad_line_says_why() -> None:
    body = b"9e107d9d372bb6826bd81d3542a419d6\n\nabc\n9e107d9d372bb6826bd81d3542a419dx"
    request = parse_text(body, MD5, RequestLimits())
    assert request.invalid == [
        InvalidHash("md5", 2, "expected 32 hexadecimal digits, got 3"),
        InvalidHash("md5", 3, "character 32 is not a hexadecimal digit"),
    ]


def test_lines_without_a_gap_need_no_index() -> None:
    body = b"9e107d9d372bb6826bd81d3542a419d6\r\n" * 3
    assert parse_text(body, MD5, RequestLimits()).asked[0].index is None


def test_blank_lines_do_not_count_as_hashes_but_bad_ones_do() -> None:
    limits = RequestLimits(max_hashes=3)
    assert len(parse_text(b"\n\nx\ny\n \nz\n", MD5, limits).invalid) == 3
    with pytest.raises(Problem) as caught:
        parse_text(b"x\ny\nz\nw", MD5, limits)
    assert caught.value.status == 413
    assert "4 hashes" in caught.value.detail


def test_too_many_lines_are_refused_before_each_takes_memory() -> None:
    body = b"x\n" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            parse_text(body, MD5, RequestLimits(max_hashes=1000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 4 * len(body)
