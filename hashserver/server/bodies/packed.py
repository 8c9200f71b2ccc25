"""Packed bodies: digests of one type back to back."""

from __future__ import annotations

import numpy as np

from hashcore.hashtypes import HashType
from hashserver.server.bodies.request import Asked, CheckRequest, bounded
from hashserver.server.problems import RequestLimits, malformed


def parse_packed(body: bytes | bytearray, kind: HashType, limits: RequestLimits) -> CheckRequest:
    """View a body as digests, without a copy.

    Raises:
        Problem: 400 when its length is no multiple of the width, 413 when there are too many.
    """
    whole, rest = divmod(len(body), kind.width)
    if rest:
        raise malformed(
            f"{kind.name} digests have {kind.width} bytes each; the body has {len(body):,} bytes, "
            f"which leaves {rest} over",
            offset=whole * kind.width,
        )
    digests = np.frombuffer(body, np.uint8).reshape(whole, kind.width)
    return bounded(CheckRequest([Asked(kind, digests)]), limits)
