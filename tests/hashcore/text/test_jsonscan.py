"""What the scanner reads; that it agrees with a JSON parser is tested with the request body."""

from __future__ import annotations

import numpy as np
import pytest

from hashcore.hashtypes import HASH_TYPES
from hashcore.text.jsonscan import Scanner

TYPES = [HASH_TYPES["md5"], HASH_TYPES["phash"]]
MD5, PHASH = "9e107d9d372bb6826bd81d3542a419d6", "0123456789abcdef"


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner(TYPES, "limit")


def test_a_plain_body_is_read_without_a_parser(scanner: Scanner) -> None:
    body = f' {{"phash":["{PHASH}", "nope",\n"{PHASH.upper()}"] , "limit":{{"phash": 3}},"md5":["{MD5}"]}}\r\n'
    scanned = scanner.scan(body.encode())
    assert scanned is not None
    first, second = scanned.arrays
    assert (first.key, first.items, first.invalid) == (1, 3, [(1, body.index("nope"), 4)])
    assert (second.key, second.items, second.invalid) == (0, 1, [])
    assert [row.tobytes().hex() for row in first.digests] == [PHASH, PHASH]
    assert [row.tobytes().hex() for row in second.digests] == [MD5]
    assert scanned.option is not None
    assert body[slice(*scanned.option)] == '{"phash": 3}'


@pytest.mark.parametrize("body", ["{}", " { } ", '{"md5":[]}', '{"md5" : [ ] , "phash":[]}', '{"limit":{}}'])
def test_bodies_without_a_hash_are_plain(scanner: Scanner, body: str) -> None:
    scanned = scanner.scan(body.encode())
    assert scanned is not None
    assert all(array.items == 0 for array in scanned.arrays)


@pytest.mark.parametrize(
    "body",
    [
        *(
            "",
            " ",
            "[]",
            "{",
            "{} x",
            '{"md5":[}',
            '{"md5":["]}',
            '{"md5":[],}',
            '{"md5":["a",]}',
            '{"md5":["a""b"]}',
        ),
        *('{"md5":null}', '{"md5":[1]}', '{"md5":[],"md5":[]}', '{"sha1":[]}', '{"m\\u0064\\u0035":[]}'),
        *('{"md5":["\\u0061"]}', '{"md5":["é"]}', '{"md5":["\t"]}', '{"limit":3}', '{"limit":{"a":{}}}'),
        *('{"limit":{"a":[]}}', '{"limit":{"a":"\\""}}', '{"limit":{}', '{"md":[]}', '{"md55":[]}', '{"":[]}'),
    ],
)
def test_what_is_not_plain_is_left_to_a_parser(scanner: Scanner, body: str) -> None:
    assert scanner.scan(body.encode()) is None


def test_more_bad_items_than_it_notes_are_left_to_a_parser(scanner: Scanner) -> None:
    noted = scanner.scan(b'{"md5":[' + b",".join([b'"x"'] * 4096) + b"]}")
    assert noted is not None
    assert len(noted.arrays[0].invalid) == 4096
    assert scanner.scan(b'{"md5":[' + b",".join([b'"x"'] * 4097) + b"]}") is None


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_bytes_are_read_and_left_as_they_are(scanner: Scanner, wrap: type) -> None:
    body = f'{{"md5":["{MD5}","{MD5}"]}}'.encode()
    given = wrap(body)
    scanned = scanner.scan(given)
    assert scanned is not None
    assert np.array_equal(scanned.arrays[0].digests, [list(bytes.fromhex(MD5))] * 2)
    assert bytes(given) == body


def test_an_item_that_would_end_beyond_the_body_is_not_read(scanner: Scanner) -> None:
    """The body stands at the end of a longer buffer's prefix: what follows would make it whole."""
    whole = f'{{"md5":["{MD5}"]}}'.encode()
    for end in range(len(whole)):
        assert scanner.scan(memoryview(whole)[:end]) is None
