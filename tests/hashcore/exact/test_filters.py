from __future__ import annotations

import numpy as np
import pytest
from hamming_model import in_pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.exact.filters import BITS_PER_DIGEST, build_filter, candidates, missing_digests, words_for

Digests = NDArray[np.uint8]


def random_digests(n: int, width: int, seed: int) -> Digests:
    return np.random.default_rng(seed).integers(0, 256, (n, width), np.uint8)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([16, 20, 32]),
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 63, 64, 65, 200]), max_size=3),
    shift=st.integers(0, 8),
    filter_shift=st.integers(0, 8),
    kind=st.sampled_from(["random", "equal", "zeros", "ones", "same start", "same end"]),
)
def test_a_digest_that_was_put_in_always_passes(
    seed: int, width: int, sizes: list[int], shift: int, filter_shift: int, kind: str
) -> None:
    digests = random_digests(sum(sizes), width, seed)
    if kind == "equal":
        digests[:] = digests[:1]
    elif kind in ("zeros", "ones"):
        digests[:] = 0 if kind == "zeros" else 255
    elif kind == "same start":
        digests[:, :8] = 255
    elif kind == "same end":
        digests[:, 8:] = 0
    parts = np.split(digests, np.cumsum(sizes)[:-1]) if sizes else []
    words = build_filter([in_pieces(part, shift) for part in parts])
    assert len(words) == words_for(len(digests))
    passed = candidates(digests, in_pieces(words, filter_shift))
    assert passed.tolist() == list(range(len(digests)))


@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_unknown_digests_pass_as_rarely_as_the_module_says(n: int, width: int) -> None:
    """0.43 %; what is above 0.6 % of so many is no chance."""
    words = build_filter([Column.of(random_digests(n, width, 1))])
    assert len(words) * 64 == n * BITS_PER_DIGEST
    unknown = random_digests(200_000, width, 2)
    assert 0 < len(candidates(unknown, Column.of(words))) < 0.006 * len(unknown)


def test_a_digest_that_shares_its_first_half_with_a_known_one_does_not_pass() -> None:
    """One half chooses the word, the other its bits, so digests alike in one are told apart."""
    known = random_digests(20_000, 32, 3)
    words = Column.of(build_filter([Column.of(known)]))
    for part in (slice(0, 8), slice(8, 16)):
        alike = random_digests(len(known), 32, 4)
        alike[:, part] = known[:, part]
        assert len(candidates(alike, words)) < 0.02 * len(known)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.sampled_from([0, 1, 63, 64, 65, 300]), shift=st.integers(0, 8))
def test_a_filter_in_pieces_says_what_it_says_whole(seed: int, n: int, shift: int) -> None:
    words = build_filter([Column.of(random_digests(500, 16, seed))])
    words |= np.random.default_rng(seed).integers(0, 2**64, len(words), np.uint64)
    asked = random_digests(n, 16, seed + 1)
    whole = candidates(asked, Column.of(words))
    assert whole.dtype == np.uint32
    assert np.all(np.diff(whole.astype(np.int64)) > 0)
    assert np.array_equal(candidates(asked, in_pieces(words, shift)), whole)


def test_an_empty_filter_lets_nothing_pass() -> None:
    words = build_filter([])
    assert len(words) == 0
    assert len(candidates(random_digests(100, 16, 5), Column.of(words))) == 0
    assert len(candidates(random_digests(100, 16, 5), Column(np.empty(0, np.uint64), 4, 0, 8, None))) == 0


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_filter_hides_only_what_it_is_not_over(inside: int, outside: int) -> None:
    random = np.random.default_rng(inside)
    digests = random.integers(0, 256, (inside + outside, 20), np.uint8)
    words = Column.of(build_filter([Column.of(digests[:inside])], words=4096))
    assert missing_digests(words, Column.of(digests[:inside])) == 0
    assert missing_digests(words, Column.of(digests[inside:])) >= outside - outside // 20 - 1
    assert missing_digests(Column.of(np.empty(0, np.uint64)), Column.of(digests)) == len(digests)
