"""`POST /v2/feedback`: a party says that a match was a mistake, or that it was right."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from hashserver.ledger import LedgerError
from hashserver.server.access import MayGiveFeedback
from hashserver.server.bodies.unpack import unpack
from hashserver.server.body import read_body, require_json
from hashserver.server.errors import refusal
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts
from hashserver.server.problems import Problem
from hashserver.sets.entries import MOST_ID_BYTES
from hashserver.sets.feedback import MOST_NOTE, VERDICTS, read_feedback, record_feedback

router = APIRouter(tags=["feedback"])

_MOST_BYTES = 1 << 16
_SCHEMA = {
    "type": "object",
    "properties": {
        "set": {"type": "string", "minLength": 1, "maxLength": MOST_ID_BYTES},
        "id": {"type": "string", "minLength": 1, "maxLength": MOST_ID_BYTES},
        "verdict": {"type": "string", "enum": list(VERDICTS)},
        "note": {"type": "string", "maxLength": MOST_NOTE},
    },
    "required": ["set", "id", "verdict"],
    "additionalProperties": False,
}
_EXAMPLE = {"set": "police", "id": "A-17", "verdict": "false-positive", "note": "a picture of our theme"}


@router.post(
    "/v2/feedback",
    summary="Say whether a match was right",
    response_class=Response,
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _SCHEMA, "example": _EXAMPLE}},
        }
    },
    responses={
        201: {"description": "It is recorded.", "content": {"application/json": {"example": {"number": 7}}}},
        400: refusal("The body is not JSON."),
        401: refusal("No valid key."),
        403: refusal("The party may not give feedback."),
        404: refusal("The entry does not exist."),
        413: refusal("The body is too large."),
        415: refusal("The Content-Type or Content-Encoding is not supported."),
        422: refusal("A member is missing, unknown or invalid; it is named."),
        503: refusal("The ledger cannot be written."),
    },
)
async def give_feedback(request: Request, caller: MayGiveFeedback) -> Response:
    """The entry is named as a match names it, by set and id."""
    parts: Parts = request.app.state.parts
    headers = headers_of(request.scope)
    require_json(headers)
    body = await read_body(headers, request.receive, _MOST_BYTES)
    feedback = read_feedback(unpack(body, headers.get(b"content-encoding"), _MOST_BYTES))
    try:
        number = await run_in_threadpool(record_feedback, parts.store, caller.party, feedback)
    except LedgerError as error:
        problem = Problem(503, "ledger-unavailable", "Feedback cannot be recorded", str(error))
        problem.headers["Retry-After"] = "10"
        raise problem from None
    return Response(orjson.dumps({"number": number}), 201, media_type="application/json")
