from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.arrays.xxh64 import checksum, mix_items, mix_strings, xxh64
from hashcore.rows import Strings

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
MASK = 2**64 - 1


def rotate(value: int, left: int) -> int:
    return ((value << left) | (value >> (64 - left))) & MASK


def turn(lane: int, word: int) -> int:
    return rotate((lane + word * P2) & MASK, 31) * P1 & MASK


def model(data: bytes, seed: int = 0) -> int:
    """XXH64 as doc/xxhash_spec.md of xxHash says it, step by step."""
    at, rest = 0, len(data)
    if rest >= 32:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while rest - at >= 32:
            for lane in range(4):
                lanes[lane] = turn(lanes[lane], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        state = sum(rotate(lane, left) for lane, left in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            state = ((state ^ turn(0, lane)) * P1 + P4) & MASK
    else:
        state = (seed + P5) & MASK
    state = (state + rest) & MASK
    while rest - at >= 8:
        state ^= turn(0, int.from_bytes(data[at : at + 8], "little"))
        state = (rotate(state, 27) * P1 + P4) & MASK
        at += 8
    if rest - at >= 4:
        state ^= int.from_bytes(data[at : at + 4], "little") * P1 & MASK
        state = (rotate(state, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        state ^= byte * P5 & MASK
        state = rotate(state, 11) * P1 & MASK
    state = (state ^ (state >> 33)) * P2 & MASK
    state = (state ^ (state >> 29)) * P3 & MASK
    return state ^ (state >> 32)


def compiled(data: bytes, seed: int = 0) -> int:
    array = np.frombuffer(b"?" + data, np.uint8)  # not aligned
    return int(xxh64(np.uint64(array.ctypes.data + 1), np.uint64(len(data)), np.uint64(seed)))


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0xEF46DB3751D8E999),
        (b"", 1, 0xD5AFBA1336A3BE4B),
        (b"a", 0, 0xD24EC4F1A98C6E5B),
        (b"abc", 0, 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1),
    ],
)
def test_published_vectors(data: bytes, seed: int, expected: int) -> None:
    assert compiled(data, seed) == expected
    assert model(data, seed) == expected


def test_the_vectors_of_the_reference_sanity_check() -> None:
    """The buffer of xxHash's self-test: from a 32-bit generator, with seeds 0 and PRIME32."""
    generator, buffer = 2654435761, bytearray()
    for _ in range(222):
        buffer.append((generator >> 24) & 0xFF)
        generator = generator * generator & 0xFFFFFFFF
    prime = 2654435761
    for length, seed, expected in [
        (1, 0, 0x4FCE394CC88952D8),
        (1, prime, 0x739840CB819FA723),
        (14, 0, 0xCFFA8DB881BC3A3D),
        (14, prime, 0x5B9611585EFCC9CB),
        (222, 0, 0x9DD507880DEBB03D),
        (222, prime, 0xDC515172B8EE0600),
    ]:
        assert (length, seed, compiled(bytes(buffer[:length]), seed)) == (length, seed, expected)


@pytest.mark.parametrize("length", range(100))
def test_every_length_up_to_three_blocks(length: int) -> None:
    data = bytes((7 * i + length) % 256 for i in range(length))
    assert compiled(data, length) == model(data, length)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), seed=st.integers(0, MASK))
def test_arbitrary_bytes_and_seeds(data: bytes, seed: int) -> None:
    assert compiled(data, seed) == model(data, seed)


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=200))
def test_a_checksum_is_that_of_the_bytes_whatever_the_array_is_made_of(data: bytes) -> None:
    assert checksum(np.frombuffer(data, np.uint8)) == model(data)
    words = np.frombuffer(data[: len(data) // 4 * 4], np.uint32)
    assert checksum(words.view(np.uint8)) == model(words.tobytes())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 20), width=st.integers(1, 40))
def test_items_are_mixed_into_the_tags_of_their_rows(seed: int, n: int, width: int) -> None:
    random = np.random.default_rng(seed)
    tags, items = random.integers(0, 2**64, n, np.uint64), random.integers(0, 256, (n, width), np.uint8)
    expected = [model(item.tobytes(), int(tag)) for item, tag in zip(items, tags, strict=True)]
    mix_items(tags, items)
    assert tags.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(strings=st.lists(st.binary(max_size=40), max_size=20), seed=st.integers(0, 2**32))
def test_strings_are_mixed_into_the_tags_of_their_rows_and_empty_ones_are_not(
    strings: list[bytes], seed: int
) -> None:
    packed = Strings.of(strings)
    tags = np.random.default_rng(seed).integers(0, 2**64, len(strings), np.uint64)
    expected = [model(text, int(tag)) if text else int(tag) for text, tag in zip(strings, tags, strict=True)]
    mix_strings(tags, packed.data.copy(), packed.offsets)
    assert tags.tolist() == expected
