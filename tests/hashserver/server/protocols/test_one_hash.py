from __future__ import annotations

import base64
from contextlib import suppress
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcore import HASH_TYPES, HashType, Rule
from hashserver.server.protocols.one_hash import MalformedHash, read_hash
from hashserver.server.protocols.single import is_test_hash, known_digest

TYPES = list(HASH_TYPES.values())
PHOTODNA = HASH_TYPES["photodna"]
SPACE = st.text(" \t\r\n", max_size=3)


@given(st.sampled_from([*TYPES, PHOTODNA]), st.data(), SPACE, SPACE, st.booleans())
def test_a_hash_is_read_as_it_was_written(
    hash_type: HashType, data: st.DataObject, before: str, after: str, upper: bool
) -> None:
    digest = data.draw(st.binary(min_size=hash_type.width, max_size=hash_type.width))
    text = digest.hex().upper() if upper else digest.hex()
    assert read_hash(hash_type, f"{before}{text}{after}".encode()) == digest


@given(st.binary(min_size=144, max_size=144), SPACE)
def test_photodna_is_read_from_base64_as_it_stands_and_percent_encoded(digest: bytes, after: str) -> None:
    text = base64.b64encode(digest).decode()
    assert read_hash(PHOTODNA, f"{text}{after}".encode()) == digest
    assert read_hash(PHOTODNA, quote(text, safe="").encode()) == digest


@pytest.mark.parametrize("width", [143, 145])
def test_base64_of_another_width_is_no_photodna(width: int) -> None:
    with pytest.raises(MalformedHash, match="base64"):
        read_hash(PHOTODNA, base64.b64encode(bytes(width)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "expected 32 hexadecimal digits, got 0"),
        (b"0" * 31, "got 31"),
        (b"0" * 33, "got 33"),
        (b"0" * 15 + b"  " + b"0" * 15, "character 16 is not"),
        (b"0" * 31 + b"g", "character 32 is not"),
        (b"0" * 30 + "é".encode(), "character 31 is not"),
        (b"+" * 32, "character 1 is not"),
        (b"AAAAAAAAAAAAAAAAAAAAAA==", "got 24"),
    ],
)
def test_what_is_no_hash_is_named(text: bytes, reason: str) -> None:
    with pytest.raises(MalformedHash, match=reason):
        read_hash(HASH_TYPES["md5"], text)


@given(st.binary(max_size=80))
def test_any_body_is_a_hash_or_malformed(body: bytes) -> None:
    with suppress(MalformedHash):
        assert read_hash(HASH_TYPES["md5"], body).hex().encode() in unquote_to_bytes(body).lower()


@pytest.mark.parametrize("hash_type", TYPES, ids=lambda hash_type: hash_type.name)
def test_the_test_set_holds_one_hash_of_each_type(hash_type: HashType) -> None:
    digest = known_digest(hash_type)
    assert len(digest) == hash_type.width
    assert is_test_hash(hash_type, digest)
    assert not is_test_hash(hash_type, bytes(hash_type.width))
    flipped = bytes([digest[0] ^ 1]) + digest[1:]
    assert is_test_hash(hash_type, flipped) == (hash_type.rule is Rule.HAMMING)


def test_the_documented_test_hashes_are_those_of_the_test_set() -> None:
    assert known_digest(HASH_TYPES["md5"]).hex() == "595777cb92a7bd1a9354c0ea70068789"
    assert (
        known_digest(HASH_TYPES["pdq"]).hex() == "d058369df1dc372b8277222f71d11fca8256bbd0f98c29d6e115f6faa44dd045"
    )
