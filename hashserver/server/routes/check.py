"""`POST /v2/check`: a batch of hashes in, what is known of them out."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope

from hashcore import HASH_TYPES, HashType
from hashserver.server.answers import to_arrow, to_json
from hashserver.server.bodies import parse_body
from hashserver.server.bodies.request import CheckRequest
from hashserver.server.bodies.unpack import unpack
from hashserver.server.body import read_body
from hashserver.server.checks import check as check_hashes
from hashserver.server.direct import DirectRoutes
from hashserver.server.errors import refusal
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts, identify
from hashserver.server.problems import unprocessable

routes = DirectRoutes("check")

ARROW = "application/vnd.apache.arrow.stream"
_INLINE_BYTES = 1 << 19  # below this a hop to another thread takes longer than the work
_INLINE_MATCHES = 1000


def _written(hash_type: HashType) -> str:
    other = (
        "" if hash_type.base64_characters is None else f" or {hash_type.base64_characters} characters of base64"
    )
    return f"{hash_type.hex_digits} hexadecimal digits{other}"


_HASHES = {
    hash_type.name: {"type": "array", "items": {}, "description": f"{_written(hash_type)} each"}
    for hash_type in HASH_TYPES.values()
}
_DISTANCES = {
    hash_type.name: {"type": "integer", "minimum": 0, "maximum": hash_type.greatest_distance}
    for hash_type in HASH_TYPES.values()
    if hash_type.is_near
}
_BODY_SCHEMA = {
    "type": "object",
    "properties": {
        **_HASHES,
        "max_distance": {
            "type": "object",
            "properties": _DISTANCES,
            "additionalProperties": False,
            "description": "Greatest distance of a match; each set's own default if absent.",
        },
    },
    "additionalProperties": False,
}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": _BODY_SCHEMA,
            "example": {
                "md5": ["9e107d9d372bb6826bd81d3542a419d6", "e4d909c290d0fb1ca068ffaddf22cbd0"],
                "pdq": ["f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"],
                "max_distance": {"pdq": 31},
            },
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "text/plain": {"schema": {"type": "string"}, "example": "9e107d9d372bb6826bd81d3542a419d6\n"},
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    },
}
_ANSWER = {
    "generation": 42,
    "store": "f3a1c05e7b9d2468a0c4e8f215937bd6",
    "state": "9b1d7f30c2a84e56",
    "checked": {"md5": 2, "pdq": 1},
    "matches": [
        {
            "type": "md5",
            "index": 0,
            "hash": "9e107d9d372bb6826bd81d3542a419d6",
            "distance": 0,
            "entries": [{"set": "police", "category": "baseline", "id": "A-17"}],
        }
    ],
    "invalid": [],
}


async def _parameters(
    type: Annotated[str | None, Query(description="Hash type of a packed or text body.")] = None,
    max_distance: Annotated[
        int | None,
        Query(description="Greatest distance for the perceptual hashes of a packed, text or Arrow body.", ge=0),
    ] = None,
) -> None:
    """The parameters of `/v2/check`."""


@routes.add(
    "POST",
    "/v2/check",
    parameters=_parameters,
    summary="Check a batch of hashes",
    description="Up to 1,000,000 hashes and 64 MiB a request. One bad hash never voids a batch: "
    "it is listed in `invalid`.",
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        200: {
            "description": "What matched; hashes that did not are left out.",
            "content": {"application/json": {"example": _ANSWER}, ARROW: {}},
        },
        400: refusal("The body is not what its Content-Type says."),
        413: refusal("The body is too large, or holds too many hashes."),
        415: refusal("The Content-Type or Content-Encoding is not supported."),
        422: refusal("An unknown hash type, or a parameter out of range."),
    },
)
async def check(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Answer one check.

    Raises:
        NotAuthenticated, NotPermitted, OverLimit, Problem: the request cannot be answered.
    """
    headers = headers_of(scope)
    caller = identify(parts, headers)
    # The hashes are not kept here: others need the memory while hits wait for the disk.
    checked = await check_hashes(parts, caller, await _asked(parts, headers, scope["query_string"], receive))
    encode, media_type = (
        (to_arrow, ARROW) if ARROW in headers.get(b"accept", "") else (to_json, "application/json")
    )
    answer = checked.answer
    large = len(answer.matches) + len(answer.invalid) > _INLINE_MATCHES
    content = await run_in_threadpool(encode, answer) if large else encode(answer)
    return Response(content, headers=checked.headers, media_type=media_type)


async def _asked(parts: Parts, headers: dict[bytes, str], query: bytes, receive: Receive) -> CheckRequest:
    body = await read_body(headers, receive, parts.limits.max_body_bytes)
    if len(body) > _INLINE_BYTES or b"content-encoding" in headers:
        return await run_in_threadpool(_read, parts, body, headers, query)
    return _read(parts, body, headers, query)


def _read(parts: Parts, body: bytearray, headers: dict[bytes, str], query: bytes) -> CheckRequest:
    type_parameter, max_distance = _read_query(query) if query else (None, None)
    plain = unpack(body, headers.get(b"content-encoding"), parts.limits.max_unpacked_bytes)
    content_type = headers.get(b"content-type", "")
    return parse_body(content_type, type_parameter, plain, parts.limits, max_distance=max_distance)


@lru_cache(maxsize=256)
def _read_query(query: bytes) -> tuple[str | None, int | None]:
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    distance = given.get("max_distance")
    if distance is None:
        return given.get("type"), None
    if not (distance.isascii() and distance.isdigit() and len(distance) < 6):
        raise unprocessable("the parameter max_distance must be a whole number", parameter="max_distance")
    return given.get("type"), int(distance)
