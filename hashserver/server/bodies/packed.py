"""Packed bodies: digests of one type back to back."""

from __future__ import annotations

import numpy as np

from hashcore.hashtypes import HashType
from hashserver.server.bodies.request import Asked, CheckRequest, bounded
from hashserver.server.problems import RequestLimits, malformed


def parse_packed(body: bytes | bytearray, hash_type: HashType, limits: RequestLimits) -> CheckRequest:
    """View a body as digests, without a copy.

    Raises:
        Problem: 400 when its length is not a multiple of the width, 413 when there are too many.
    """
    whole, rest = divmod(len(body), hash_type.width)
    if rest:
        raise malformed(
            f"{hash_type.name} digests have {hash_type.width} bytes each; the body has {len(body):,} bytes, "
            f"which leaves {rest} over",
            offset=whole * hash_type.width,
        )
    digests = np.frombuffer(body, np.uint8).reshape(whole, hash_type.width)
    return bounded(CheckRequest([Asked(hash_type, digests)]), limits)
