"""`POST /v2/check`: a batch of hashes in, what is known of them out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from hashcore import HASH_TYPES, Rule
from hashserver.answers import to_arrow, to_json
from hashserver.bodies import parse_body
from hashserver.bodies.unpack import unpack
from hashserver.matching import check_request
from hashserver.routes.body import read_body

router = APIRouter(tags=["check"])

ARROW = "application/vnd.apache.arrow.stream"
_INLINE_BYTES = 1 << 19  # below this a hop to another thread costs more than the work holds others up

_EXACT = [kind for kind in HASH_TYPES.values() if kind.rule is Rule.EXACT]
_HASHES = {
    kind.name: {"type": "array", "items": {}, "description": f"{kind.hex_digits} hexadecimal digits each"}
    for kind in HASH_TYPES.values()
}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": _HASHES, "additionalProperties": False},
            "example": {"md5": ["9e107d9d372bb6826bd81d3542a419d6", "e4d909c290d0fb1ca068ffaddf22cbd0"]},
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "text/plain": {"schema": {"type": "string"}, "example": "9e107d9d372bb6826bd81d3542a419d6\n"},
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    },
}
_ANSWER = {
    "generation": 42,
    "checked": {"md5": 2},
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
_PROBLEM = {
    "type": "/problems/malformed-body",
    "title": "Malformed body",
    "status": 400,
    "detail": "the body is not JSON: unexpected end of data at byte 17",
}


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"example": _PROBLEM}}}


@router.post(
    "/v2/check",
    summary="Check a batch of hashes",
    response_class=Response,
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        200: {
            "description": "What matched; hashes that did not are left out.",
            "content": {"application/json": {"example": _ANSWER}, ARROW: {}},
        },
        400: _refusal("The body is not what its Content-Type says."),
        413: _refusal("The body is too large, or holds too many hashes."),
        415: _refusal("The Content-Type or Content-Encoding is not one that is read."),
        422: _refusal("An unknown hash type, or a parameter out of range."),
    },
)
async def check(
    request: Request,
    type: Annotated[str | None, Query(description="Hash type of a packed or text body.")] = None,
    max_distance: Annotated[
        int | None, Query(description="Distance for a packed or text body of perceptual hashes.", ge=0)
    ] = None,
) -> Response:
    """Up to 1,000,000 hashes and 64 MiB a request. One bad hash never voids a batch: it is listed in `invalid`."""
    body = await read_body(request, request.app.state.parts.limits.max_body_bytes)
    headers = request.headers
    encoding = headers.get("content-encoding")
    arguments = (
        request.app.state.parts,
        body,
        headers.get("content-type", ""),
        encoding,
        type,
        max_distance,
        headers.get("accept", ""),
    )
    if len(body) <= _INLINE_BYTES and encoding is None:
        return _answer(*arguments)
    return await run_in_threadpool(_answer, *arguments)


def _answer(
    parts: Any,
    body: bytearray,
    content_type: str,
    encoding: str | None,
    type_parameter: str | None,
    max_distance: int | None,
    accept: str,
) -> Response:
    plain = unpack(body, encoding, parts.limits.max_unpacked_bytes)
    asked = parse_body(content_type, type_parameter, plain, parts.limits, max_distance=max_distance)
    answer = check_request(parts.store, asked)
    if ARROW in accept:
        return Response(to_arrow(answer), media_type=ARROW)
    return Response(to_json(answer), media_type="application/json")
