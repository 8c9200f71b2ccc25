"""`POST /v1/check/{type}`: a bare hash in, `true` or `false` out, for SCART and Shimmie2."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Response
from starlette.types import Receive, Scope

from hashcore import HASH_TYPES, HashType, Rule
from hashserver.parties.directory import require
from hashserver.server.body import read_body
from hashserver.server.direct import DirectRoutes
from hashserver.server.errors import refusal
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts, identify
from hashserver.server.problems import Problem
from hashserver.server.protocols.one_hash import MalformedHash, check_one, read_hash

routes = DirectRoutes("existing clients")

CHECK, TEST = "/v1/check/", "/v1/test/check/"
TEST_TEXT = b"hashserver test entry"
"""What the hashes of the built-in test set are made from; see `known_digest`."""

_MOST_BODY = 4096
_TRUE, _FALSE = b"true", b"false"
_TEXT = "text/plain"


async def _parameters(type: Annotated[str, Path(description="Hash type", examples=["md5"])]) -> None:
    """The parameter of both paths."""


_DOCUMENTED: dict[str, Any] = {
    "parameters": _parameters,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "The bare hash. The Content-Type is not looked at: curl says form-urlencoded.",
            "content": {
                media_type: {"schema": {"type": "string"}, "example": "9e107d9d372bb6826bd81d3542a419d6"}
                for media_type in (_TEXT, "application/x-www-form-urlencoded")
            },
        }
    },
    "responses": {
        200: {
            "description": "`true` or `false`, nothing else.",
            "content": {_TEXT: {"schema": {"type": "string", "enum": ["true", "false"]}}},
        },
        400: refusal("The body is not a hash of this type."),
        401: refusal("No valid key."),
        403: refusal("The party may not check."),
        404: refusal("There is no such hash type."),
        413: refusal("The body is much larger than a hash."),
    },
}


@routes.add(
    "POST",
    CHECK + "{type}",
    summary="Is this hash known",
    description="One bare hash, HTTP Basic or Bearer: the protocol of SCART and of Shimmie2's extension.",
    **_DOCUMENTED
    | {
        "responses": {
            **_DOCUMENTED["responses"],
            429: refusal("Too many hashes."),
            503: refusal("Hits cannot be recorded."),
        }
    },
)
async def check_single(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Whether the hash in the body is known.

    Raises:
        Problem: 400 for a malformed hash, 401, 403, 404 for an unknown type, 413, 429 or 503.
    """
    hash_type = _hash_type(scope, CHECK)
    headers = headers_of(scope)
    caller = identify(parts, headers)
    body = await read_body(headers, receive, _MOST_BODY)
    try:
        # One entry answers the question, but the ledger wants all that the hash is known from.
        checked = await check_one(parts, caller, hash_type, bytes(body))
    except MalformedHash as error:
        raise _malformed(hash_type, error) from None
    return Response(_TRUE if checked.answer.matches else _FALSE, 200, checked.headers, _TEXT)


@routes.add(
    "POST",
    TEST + "{type}",
    summary="Is this hash in the built-in test set",
    description="As `/v1/check/{type}`, against one documented hash of each type; nothing is recorded.",
    **_DOCUMENTED,
)
async def check_test(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Whether the hash in the body is in the built-in test set; nothing is charged or recorded.

    Raises:
        Problem: as `check_single`, without 429 and 503.
    """
    hash_type = _hash_type(scope, TEST)
    headers = headers_of(scope)
    caller = identify(parts, headers)
    require(caller.party, "check")
    body = await read_body(headers, receive, _MOST_BODY)
    try:
        known = is_test_hash(hash_type, read_hash(hash_type, bytes(body)))
    except MalformedHash as error:
        raise _malformed(hash_type, error) from None
    return Response(_TRUE if known else _FALSE, 200, {"X-Request-Id": caller.request}, _TEXT)


def known_digest(hash_type: HashType) -> bytes:
    """The test set's one hash of a type.

    For types that hash bytes, the hash of TEST_TEXT. For perceptual types, of which that text has
    no hash, the first bytes of the text's SHAKE-256.
    """
    if hash_type.rule is Rule.EXACT:
        return hashlib.new(hash_type.name, TEST_TEXT, usedforsecurity=False).digest()
    return hashlib.shake_256(TEST_TEXT).digest(hash_type.width)


def is_test_hash(hash_type: HashType, digest: bytes) -> bool:
    """Whether a digest matches the test set's one.

    Types with a Hamming distance match within their default distance, all others only if equal.
    """
    known = known_digest(hash_type)
    if hash_type.rule is Rule.HAMMING:
        bits = np.frombuffer(digest, np.uint8) ^ np.frombuffer(known, np.uint8)
        return int(np.bitwise_count(bits).sum()) <= hash_type.default_distance
    return digest == known


def _hash_type(scope: Scope, prefix: str) -> HashType:
    name = scope["path"][len(prefix) :]
    hash_type = HASH_TYPES.get(name)
    if hash_type is None:
        known = ", ".join(HASH_TYPES)
        detail = f"there is no hash type {name[:40]!r}; types: {known}"
        raise Problem(404, "unknown-hash-type", "Unknown hash type", detail)
    return hash_type


def _malformed(hash_type: HashType, error: MalformedHash) -> Problem:
    return Problem(400, "malformed-hash", "Malformed hash", f"the body must be one {hash_type.name} hash: {error}")
