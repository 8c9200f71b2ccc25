"""Tests of `hashserver.client.hashes`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.errors import BadDistance, UnknownHashType
from hashcore.hashtypes import HASH_TYPES
from hashserver.client.hashes import decoded, question

MD5 = HASH_TYPES["md5"]
DIGEST = bytes(range(16))


def _model(item: object) -> bytes | None:
    """A digest of MD5, or None: what an item is, as plainly as it can be said."""
    if isinstance(item, str):
        try:
            return bytes.fromhex(item) if len(item) == 32 and item.isalnum() else None
        except ValueError:
            return None
    return bytes(item) if isinstance(item, bytes | bytearray) and len(item) == 16 else None


ITEMS = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16).map(bytearray),
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.binary(min_size=16, max_size=16).map(lambda digest: digest.hex().upper()),
    st.text(max_size=40),
    st.text("0123456789abcdefg", min_size=31, max_size=33),
    st.text("0aé\ud800", min_size=32, max_size=32),
    st.binary(max_size=40),
    st.none(),
    st.integers(),
)


@settings(deadline=None)
@given(st.one_of(st.lists(ITEMS), st.lists(st.binary(min_size=16, max_size=16)), st.lists(st.text())))
def test_every_item_is_decoded_or_invalid_as_the_model_says(items: list[Any]) -> None:
    digests, places, invalid = decoded(MD5, items)
    expected = {place: digest for place, item in enumerate(items) if (digest := _model(item)) is not None}
    assert {int(place): bytes(digest) for place, digest in zip(places, digests, strict=True)} == expected
    assert [one.index for one in invalid] == [place for place in range(len(items)) if place not in expected]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("abc", "expected 32 hexadecimal digits, got 3"),
        ("g" * 32, "character 1 is not a hexadecimal digit"),
        (DIGEST.hex().encode(), "expected 16 bytes, got 32; a hash in hexadecimal is a string"),
        (None, "expected a string or bytes, got NoneType"),
    ],
)
def test_an_invalid_item_is_explained_and_the_others_keep_their_indices(item: Any, reason: str) -> None:
    digests, places, invalid = decoded(MD5, [DIGEST, item, DIGEST.hex()])
    assert [bytes(digest) for digest in digests] == [DIGEST, DIGEST]
    assert list(places) == [0, 2]
    assert [(one.type, one.index, one.reason) for one in invalid] == [("md5", 1, reason)]


def test_other_kinds_of_sequences_are_read_as_lists_are() -> None:
    for hashes in (iter([DIGEST]), (DIGEST,), np.array([DIGEST.hex()]), np.array([DIGEST.hex()], object)):
        assert decoded(MD5, hashes)[0].tobytes() == DIGEST  # type: ignore[arg-type]


def test_an_array_is_taken_without_a_copy_and_one_with_gaps_is_packed() -> None:
    array = np.arange(64, dtype=np.uint8).reshape(4, 16)
    assert np.shares_memory(decoded(MD5, array)[0], array)
    digests = decoded(MD5, array[::2])[0]
    assert digests.flags.c_contiguous
    assert digests.tolist() == array[::2].tolist()


@pytest.mark.parametrize("array", [np.zeros((2, 20), np.uint8), np.zeros(16, np.uint8), np.zeros((1, 16), int)])
def test_an_array_that_holds_no_digests_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"uint8\[n, 16\], not "):
        decoded(MD5, array)


@pytest.mark.parametrize("one", [DIGEST.hex(), DIGEST, bytearray(DIGEST)])
def test_one_hash_instead_of_a_list_is_refused(one: Any) -> None:
    with pytest.raises(TypeError, match="put a single hash into a list"):
        decoded(MD5, one)


@given(st.integers(0, 30), st.integers(1, 12))
def test_batches_hold_every_hash_once_with_its_index(count: int, size: int) -> None:
    array = np.arange(count * 16, dtype=np.uint8).reshape(count, 16)
    asked = question({"md5": array, "sha1": ["no"]}, None, size)
    assert len(asked.batches) == max(1, -(-count // size))
    assert all(len(batch.digests) == len(batch.places) <= size for batch in asked.batches)
    assert [int(place) for batch in asked.batches for place in batch.places] == list(range(count))
    assert b"".join(batch.digests.tobytes() for batch in asked.batches) == array.tobytes()
    assert asked.types == ["md5", "sha1"]
    assert len(asked.invalid) == 1


def test_distances_go_to_their_type_only() -> None:
    asked = question({"md5": [DIGEST], "pdq": [bytes(32)]}, {"pdq": 20}, 10)
    assert [(batch.hash_type.name, batch.max_distance) for batch in asked.batches] == [("md5", None), ("pdq", 20)]


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(UnknownHashType, match="known types: md5"):
        question({"md6": []}, None, 10)
    with pytest.raises(BadDistance, match="from 0 to 64"):
        question({"pdq": []}, {"pdq": 65}, 10)
    with pytest.raises(BadDistance, match="exactly"):
        question({"md5": []}, {"md5": 1}, 10)
    with pytest.raises(ValueError, match=r"check\(md5="):
        question({}, None, 10)
