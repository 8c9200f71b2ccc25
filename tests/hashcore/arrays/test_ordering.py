from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.ordering import MOST_ROWS, compare_digests, digest_prefixes, sort_rows

Digests = NDArray[np.uint8]
WIDTHS = [8, 16, 20, 32]
KINDS = ["random", "equal", "few", "same start", "last byte", "skewed", "sorted", "reversed"]


def make_digests(kind: str, n: int, width: int, random: np.random.Generator) -> Digests:
    """Digests of a kind that a sort might stumble over."""
    digests = random.integers(0, 256, (n, width), np.uint8)
    if kind == "equal":
        digests[:] = digests[:1]
    elif kind == "few":
        digests = digests[random.integers(0, max(1, min(n, 5)), n)] if n else digests
    elif kind == "same start":
        digests[:, : random.integers(1, width)] = random.integers(0, 256)
    elif kind == "last byte":
        digests[:, :-1] = 7
    elif kind == "skewed":
        digests[: n * 9 // 10, :2] = 0
        digests[: n // 2, :6] = 0
    elif kind in ("sorted", "reversed"):
        digests = digests[np.lexsort(digests.T[::-1])][:: 1 if kind == "sorted" else -1].copy()
    return digests


def expected_order(digests: Digests, tags: NDArray[np.uint64]) -> NDArray[np.intp]:
    """By digest, then tag; lexsort is stable, so that equal rows stay in order."""
    return np.lexsort([tags, *digests.T[::-1]])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.one_of(st.integers(0, 60), st.sampled_from([2047, 2048, 5000])),
    width=st.sampled_from(WIDTHS),
    kind=st.sampled_from(KINDS),
    distinct_tags=st.sampled_from([1, 2, 2**64 - 1]),
)
def test_rows_are_sorted_by_digest_then_tag_then_row(
    seed: int, n: int, width: int, kind: str, distinct_tags: int
) -> None:
    random = np.random.default_rng(seed)
    digests = make_digests(kind, n, width, random)
    tags = random.integers(0, distinct_tags, n, np.uint64)
    order = sort_rows(digests, tags)
    assert order.dtype == np.uint32
    assert np.array_equal(order, expected_order(digests, tags))


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_are_sorted(kind: str) -> None:
    random = np.random.default_rng(1)
    digests = make_digests(kind, 70_000, 16, random)
    tags = random.integers(0, 3, len(digests), np.uint64)
    assert np.array_equal(sort_rows(digests, tags), expected_order(digests, tags))


@pytest.mark.parametrize("ties", [23, 24, 25, 26, 49])
def test_runs_of_equal_keys_are_settled_by_what_follows(ties: int) -> None:
    """Short and long runs of digests with equal first eight bytes take different code paths."""
    random = np.random.default_rng(ties)
    digests = random.integers(0, 256, (40 * ties, 20), np.uint8)
    digests[:, :8] = np.repeat(random.integers(0, 256, (40, 8), np.uint8), ties, axis=0)
    digests[: 20 * ties, 8:] = 9
    digests = random.permuted(digests, axis=0)
    tags = random.integers(0, 4, len(digests), np.uint64)
    assert np.array_equal(sort_rows(digests, tags), expected_order(digests, tags))


def test_the_greatest_digests_and_tags_are_numbers_like_any_other() -> None:
    digests = np.full((100, 16), 255, np.uint8)
    digests[::3] = 0
    tags = np.where(np.arange(100) % 2 == 0, np.uint64(2**64 - 1), np.uint64(0))
    assert np.array_equal(sort_rows(digests, tags), expected_order(digests, tags))


def test_more_rows_than_a_key_can_number_are_refused() -> None:
    digests = np.broadcast_to(np.zeros(8, np.uint8), (MOST_ROWS + 1, 8))
    with pytest.raises(ValueError, match=str(MOST_ROWS)):
        sort_rows(digests, np.broadcast_to(np.uint64(0), MOST_ROWS + 1))


@settings(max_examples=150, deadline=None)
@given(width=st.sampled_from(WIDTHS), data=st.data())
def test_digests_are_compared_as_their_bytes_are(width: int, data: st.DataObject) -> None:
    left = data.draw(st.binary(min_size=width, max_size=width))
    right = bytearray(left)
    right[data.draw(st.integers(0, width - 1))] = data.draw(st.integers(0, 255))
    arrays = [np.frombuffer(b"?" + digest, np.uint8)[1:] for digest in (left, bytes(right))]
    got = compare_digests(*(np.uint64(array.ctypes.data) for array in arrays), np.uint64(width))
    assert got == (left > right) - (left < right)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 20), width=st.sampled_from(WIDTHS))
def test_a_prefix_is_the_first_eight_bytes_as_a_number(seed: int, n: int, width: int) -> None:
    digests = np.random.default_rng(seed).integers(0, 256, (n, width), np.uint8)
    prefixes = np.empty(n, np.uint64)
    digest_prefixes(digests, prefixes)
    assert prefixes.tolist() == [int.from_bytes(row.tobytes()[:8]) for row in digests]
