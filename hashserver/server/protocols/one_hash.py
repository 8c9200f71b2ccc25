"""Reading and checking one written hash, for the protocols that send single hashes."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import numpy as np

from hashcore.hashtypes import HashType
from hashcore.text.hexcodec import decode_one
from hashserver.server.bodies.request import Asked, CheckRequest, InvalidHash
from hashserver.server.checks import Checked, check
from hashserver.server.parts import Caller, Parts


class MalformedHash(Exception):
    """The text is not a hash of its type; the message says why, without repeating it."""


def read_hash(hash_type: HashType, text: bytes) -> bytes:
    """Read a hash as clients write it: white space around it, either case, percent-encoded or not.

    A plus sign stays one: clients say form-urlencoded, but send the hash as it is.

    Raises:
        MalformedHash: it is not one.
    """
    plain = text.strip()
    if b"%" in plain:
        plain = unquote_to_bytes(plain).strip()
    try:
        return decode_one(hash_type, plain)
    except ValueError as error:
        raise MalformedHash(str(error)) from None


async def check_one(
    parts: Parts, caller: Caller, hash_type: HashType, text: bytes, *, numbered: bool = False
) -> Checked:
    """Check one written hash; a malformed one is charged and counted as well.

    Raises:
        MalformedHash: the text is not a hash of the type.
        NotPermitted, OverLimit, Problem: as `hashserver.server.checks.check`.
    """
    try:
        digest = read_hash(hash_type, text)
    except MalformedHash as error:
        await check(parts, caller, CheckRequest([], [InvalidHash(hash_type.name, 0, str(error))]))
        raise
    # Kernels are compiled for arrays that can be written, which one over a bytearray is.
    digests = np.frombuffer(bytearray(digest), np.uint8).reshape(1, hash_type.width)
    return await check(parts, caller, CheckRequest([Asked(hash_type, digests)]), numbered=numbered)
