from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES, HashType
from hashserver.server.bodies.packed import parse_packed
from hashserver.server.problems import Problem, RequestLimits

TYPES = st.sampled_from(list(HASH_TYPES.values()))


@given(hash_type=TYPES, body=st.binary(max_size=300), mutable=st.booleans())
def test_a_body_is_cut_into_digests_or_says_what_is_left_over(
    hash_type: HashType, body: bytes, mutable: bool
) -> None:
    whole = len(body) // hash_type.width * hash_type.width
    if whole != len(body):
        with pytest.raises(Problem) as caught:
            parse_packed(body, hash_type, RequestLimits())
        assert caught.value.status == 400
        assert caught.value.extra == {"offset": whole}
        assert f"leaves {len(body) - whole} over" in caught.value.detail
        body = body[:whole]
    request = parse_packed(bytearray(body) if mutable else body, hash_type, RequestLimits())
    (asked,) = request.asked
    assert asked.hash_type is hash_type
    assert asked.index is None
    assert asked.digests.shape == (whole // hash_type.width, hash_type.width)
    assert asked.digests.tobytes() == body
    assert request.invalid == []
    assert request.max_distance == {}


def test_digests_are_viewed_without_a_copy() -> None:
    body = bytearray(range(32))
    digests = parse_packed(body, HASH_TYPES["md5"], RequestLimits()).asked[0].digests
    assert np.shares_memory(digests, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("hashes", [3, 4])
def test_more_digests_than_a_request_may_hold_are_refused(hashes: int) -> None:
    body = bytes(16 * hashes)
    if hashes == 3:
        assert len(parse_packed(body, HASH_TYPES["md5"], RequestLimits(max_hashes=3)).asked[0].digests) == 3
        return
    with pytest.raises(Problem) as caught:
        parse_packed(body, HASH_TYPES["md5"], RequestLimits(max_hashes=3))
    assert caught.value.status == 413
