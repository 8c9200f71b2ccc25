from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES, HashType
from hashcore.hashtypes import hash_type as look_up
from hashcore.text.hexcodec import (
    BAD_DIGIT,
    INVALID,
    OK,
    WRONG_LENGTH,
    decode_eight,
    decode_hex,
    explain_invalid,
)

TYPES = st.sampled_from(list(HASH_TYPES.values()))
DIGITS = b"0123456789abcdefABCDEF"


def decode(hash_type: HashType, texts: list[bytes], gap: bytes = b"") -> tuple[list[bytes], list[int], int]:
    """Decode strings that lie one after the other with a gap between them, in read-only memory."""
    lengths = np.array([len(text) for text in texts], np.int64)
    starts = np.cumsum(lengths + len(gap)) - lengths
    buffer = np.frombuffer(gap + gap.join(texts), np.uint8)
    digests, status, bad = decode_hex(hash_type, buffer, starts, lengths)
    return [row.tobytes() for row in digests], status.tolist(), bad


def model(hash_type: HashType, text: bytes) -> tuple[bytes, int]:
    if hash_type.name == "photodna" and re.fullmatch(rb"[0-9A-Za-z+/]{192}", text):
        return base64.b64decode(text), OK
    if len(text) != hash_type.hex_digits:
        return bytes(hash_type.width), WRONG_LENGTH
    if not all(byte in DIGITS for byte in text):
        return bytes(hash_type.width), BAD_DIGIT
    return bytes.fromhex(text.decode()), OK


@st.composite
def texts(draw: st.DrawFn) -> tuple[HashType, list[bytes]]:
    hash_type = draw(TYPES)
    digits = hash_type.hex_digits
    hexadecimal = st.lists(st.sampled_from(DIGITS), min_size=digits, max_size=digits).map(bytes)
    spoilt = st.builds(
        lambda text, at, byte: text[: at % digits] + bytes([byte]) + text[at % digits + 1 :],
        hexadecimal,
        st.integers(0, digits - 1),
        st.integers(0, 255),
    )
    other = st.one_of(hexadecimal.map(lambda text: text[1:]), hexadecimal.map(lambda text: text + b"0"))
    coded = st.binary(min_size=144, max_size=144).map(base64.b64encode)
    miscoded = st.builds(
        lambda text, at: text[:at] + b"=-_ \n\xff"[at % 6 :][:1] + text[at + 1 :], coded, st.integers(0, 191)
    )
    texts = st.one_of(hexadecimal, spoilt, other, coded, miscoded, st.binary(max_size=70))
    return hash_type, draw(st.lists(texts, max_size=10))


@settings(max_examples=200, deadline=None)
@given(case=texts(), gap=st.sampled_from([b"", b"\n", b'","']))
def test_strings_are_decoded_as_python_decodes_them(case: tuple[HashType, list[bytes]], gap: bytes) -> None:
    hash_type, written = case
    expected = [model(hash_type, text) for text in written]
    digests, status, bad = decode(hash_type, written, gap)
    assert digests == [digest for digest, _ in expected]
    assert status == [one for _, one in expected]
    assert bad == sum(one != OK for one in status)


@pytest.mark.parametrize("place", range(8))
def test_every_byte_in_every_place_is_a_digit_or_is_not(place: int) -> None:
    for byte in range(256):
        text = bytearray(b"09afAF5c")
        text[place] = byte
        got = int(decode_eight(np.uint64(int.from_bytes(text, "little"))))
        if byte in DIGITS:
            assert got.to_bytes(4, "little") == bytes.fromhex(text.decode())
        else:
            assert got == int(INVALID)


@settings(max_examples=300, deadline=None)
@given(text=st.binary(min_size=8, max_size=8))
def test_eight_arbitrary_bytes_are_decoded_only_when_all_are_digits(text: bytes) -> None:
    got = int(decode_eight(np.uint64(int.from_bytes(text, "little"))))
    if all(byte in DIGITS for byte in text):
        assert got.to_bytes(4, "little") == bytes.fromhex(text.decode())
    else:
        assert got == int(INVALID)


def test_a_hash_of_all_ones_is_not_taken_for_an_error() -> None:
    hash_type = HASH_TYPES["md5"]
    assert decode(hash_type, [b"f" * 32, b"F" * 32]) == ([b"\xff" * 16] * 2, [OK, OK], 0)


@given(hash_type=TYPES, data=st.data())
def test_every_digest_written_in_hexadecimal_is_decoded_again(hash_type: HashType, data: st.DataObject) -> None:
    digest = data.draw(st.binary(min_size=hash_type.width, max_size=hash_type.width))
    assert decode(hash_type, [digest.hex().encode()])[0] == [digest]


@settings(max_examples=150, deadline=None)
@given(case=texts())
def test_every_string_that_is_no_hash_has_a_reason_which_does_not_repeat_it(
    case: tuple[HashType, list[bytes]],
) -> None:
    hash_type, written = case
    for text in written:
        status = model(hash_type, text)[1]
        if status == OK:
            with pytest.raises(ValueError, match="valid hash"):
                explain_invalid(hash_type, text)
            continue
        reason = explain_invalid(hash_type, text)
        if status == WRONG_LENGTH and hash_type.name == "photodna" and len(text) == 192:
            assert reason == "the 192 characters are not base64 of 144 bytes"
        elif status == WRONG_LENGTH:
            either = " or 192 characters of base64" if hash_type.name == "photodna" else ""
            assert reason == f"expected {hash_type.hex_digits} hexadecimal digits{either}, got {len(text)}"
        else:
            place = next(at for at, byte in enumerate(text) if byte not in DIGITS)
            assert reason == f"character {place + 1} is not a hexadecimal digit"
        assert reason == explain_invalid(hash_type, text.decode("latin-1"))


@pytest.mark.parametrize("width", [142, 143])
def test_padded_base64_of_fewer_bytes_is_no_hash(width: int) -> None:
    text = base64.b64encode(bytes(width))
    assert len(text) == 192
    buffer = np.frombuffer(bytearray(text), np.uint8)
    _, status, bad = decode_hex(look_up("photodna"), buffer, np.array([0]), np.array([192]))
    assert bad == 1
    assert status[0] != OK
