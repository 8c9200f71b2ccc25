"""Tests of `hashcore.pictures.blank`: what is blank is known by nearness, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.pictures.blank import are_blank, is_blank
from hashcore.pictures.pdq import hash_picture

PDQ, PHASH, PHOTODNA = HASH_TYPES["pdq"], HASH_TYPES["phash"], HASH_TYPES["photodna"]
SIZES = [(16, 16), (64, 64), (100, 80), (333, 777)]


def _flat(rows: int, columns: int, grey: int) -> NDArray[np.uint8]:
    return np.full((rows, columns, 3), grey, np.uint8)


def _flipped(digest: bytes, bits: int, seed: int = 1) -> bytes:
    number = int.from_bytes(digest, "big")
    for bit in np.random.default_rng(seed).choice(8 * len(digest), bits, replace=False).tolist():
        number ^= 1 << bit
    return number.to_bytes(len(digest), "big")


@pytest.mark.parametrize("size", SIZES)
def test_flat_pictures_of_every_grey_are_blank_and_what_is_near_them_too(size: tuple[int, int]) -> None:
    for grey in range(256):
        digest = hash_picture(_flat(*size, grey)).digest
        assert is_blank(PDQ, digest), (grey, digest.hex())
        assert is_blank(PDQ, _flipped(digest, 12, grey))


def test_a_dot_on_a_flat_picture_leaves_it_blank() -> None:
    generator = np.random.default_rng(5)
    for rows, columns in ((64, 64), (256, 256), (480, 640)):
        for _ in range(20):
            pixels = _flat(rows, columns, 255)
            pixels[generator.integers(rows), generator.integers(columns)] = 0
            assert is_blank(PDQ, hash_picture(pixels).digest)


def test_the_blank_hashes_themselves_and_one_bit_away() -> None:
    for hash_type in (PDQ, PHASH):
        for digest in hash_type.benign:
            assert is_blank(hash_type, digest)
            for bits in (1, 2, 8):
                assert is_blank(hash_type, _flipped(digest, bits))
    assert is_blank(PHOTODNA, bytes(144))
    assert is_blank(PHOTODNA, bytes([16]) * 144)
    assert not is_blank(PHOTODNA, bytes([17]) * 144)


def test_what_shows_something_is_not_blank() -> None:
    generator = np.random.default_rng(7)
    for hash_type in (PDQ, PHASH, PHOTODNA):
        digests = generator.integers(0, 256, (20_000, hash_type.width), np.uint8)
        assert not are_blank(hash_type, digests).any()
    for _ in range(20):
        coarse = generator.integers(0, 256, (8, 8, 3), np.uint8)
        pixels = coarse.repeat(32, 0).repeat(32, 1)
        assert not is_blank(PDQ, hash_picture(pixels).digest)


def test_exact_types_have_no_blank_hashes_but_those_in_the_registry() -> None:
    assert not are_blank(HASH_TYPES["md5"], np.zeros((3, 16), np.uint8)).any()
    assert len(are_blank(PDQ, np.zeros((0, 32), np.uint8))) == 0
