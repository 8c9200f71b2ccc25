"""`/v2/entries`: a hotline's tool adds entries, or withdraws them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from hashcore import HASH_TYPES
from hashcore.errors import StoreBusy, StoreFull
from hashserver.ledger import LedgerError
from hashserver.server.access import MayContribute
from hashserver.server.bodies.unpack import unpack
from hashserver.server.body import read_body, require_json
from hashserver.server.errors import refusal
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts
from hashserver.server.problems import Problem
from hashserver.sets.entries import (
    MOST_BYTES,
    MOST_CATEGORY_BYTES,
    MOST_ENTRIES,
    MOST_ID_BYTES,
    WAIT_SECONDS,
    Contribution,
    publish,
    read_contribution,
    require_set,
    withdraw,
)

router = APIRouter(tags=["entries"])
_Result = TypeVar("_Result")

_EXAMPLE = {
    "set": "police",
    "id": "A-17",
    "category": "baseline",
    "md5": "9e107d9d372bb6826bd81d3542a419d6",
    "pdq": "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22",
}
_ENTRY = {
    "type": "object",
    "properties": {
        "set": {"type": "string", "minLength": 1},
        "id": {"type": "string", "minLength": 1, "maxLength": MOST_ID_BYTES},
        "category": {"type": ["string", "null"], "minLength": 1, "maxLength": MOST_CATEGORY_BYTES},
        **{hash_type.name: {"type": ["string", "null"]} for hash_type in HASH_TYPES.values()},
    },
    "required": ["set", "id"],
    "additionalProperties": False,
}
_MANY = {
    "type": "object",
    "properties": {"entries": {"type": "array", "items": _ENTRY, "minItems": 1, "maxItems": MOST_ENTRIES}},
    "required": ["entries"],
    "additionalProperties": False,
}
_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"oneOf": [_ENTRY, _MANY]}, "example": _EXAMPLE}},
}
_ADDED = {"generation": 43, "set": "police", "added": 1, "replaced": 0, "unchanged": 0}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: refusal("No valid key."),
    403: refusal("The party may not change this set."),
    404: refusal("The set or entry does not exist."),
    422: refusal("An entry cannot be added; its index and member are named."),
    503: refusal("Others are changing the sets, or the disk is full; Retry-After says when to try again."),
}


@router.post(
    "/v2/entries",
    summary="Add entries to a set",
    response_class=Response,
    status_code=201,
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        201: {"description": "They are published.", "content": {"application/json": {"example": _ADDED}}},
        200: {
            "description": "They were in the set already: nothing changed.",
            "content": {"application/json": {"example": {**_ADDED, "added": 0, "unchanged": 1}}},
        },
        400: refusal("The body is not JSON."),
        413: refusal("The body is too large, or holds too many entries."),
        415: refusal("The Content-Type or Content-Encoding is not supported."),
        **_REFUSALS,
    },
)
async def add(request: Request, caller: MayContribute) -> Response:
    """One entry, or `{"entries": [...]}` with up to 10,000 of one set. A request is published whole
    or not at all, and its entries match at once. An entry whose id is in the set already, with
    other hashes or another category, replaces the old one."""
    parts: Parts = request.app.state.parts
    headers = headers_of(request.scope)
    require_json(headers)
    body = await read_body(headers, request.receive, min(MOST_BYTES, parts.limits.max_body_bytes))
    contribution = await run_in_threadpool(_read, body, headers.get(b"content-encoding"))
    require_set(parts.store, caller.party, contribution.set, may_be_new=True)
    done = await _in_turn(parts, lambda: publish(parts.store, caller.party, contribution))
    answer = {
        "generation": done.outcome.generation,
        "set": contribution.set,
        "added": done.added,
        "replaced": done.replaced,
        "unchanged": done.unchanged,
    }
    status = 201 if done.outcome.changed else 200
    return Response(orjson.dumps(answer), status, media_type="application/json")


@router.delete(
    "/v2/entries/{set}/{id:path}",
    summary="Withdraw an entry",
    response_class=Response,
    responses={
        200: {
            "description": "It is no longer in the set.",
            "content": {"application/json": {"example": {"generation": 44, "set": "police", "removed": 1}}},
        },
        **_REFUSALS,
    },
)
async def take_back(
    request: Request,
    caller: MayContribute,
    set: Annotated[str, Path(description="Name of the set.")],
    id: Annotated[str, Path(description="External id of the entry; it may contain slashes.")],
) -> Response:
    """It no longer matches: at once on this worker, within a second on the others."""
    parts: Parts = request.app.state.parts
    require_set(parts.store, caller.party, set, may_be_new=False)
    outcome = await _in_turn(parts, lambda: withdraw(parts.store, caller.party, set, id))
    answer = {"generation": outcome.generation, "set": set, "removed": outcome.tally.removed}
    return Response(orjson.dumps(answer), media_type="application/json")


def _read(body: bytearray, encoding: str | None) -> Contribution:
    return read_contribution(unpack(body, encoding, MOST_BYTES))


async def _in_turn(parts: Parts, change: Callable[[], _Result]) -> _Result:
    """Change the store in another thread, one request of this worker after the other."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await parts.changing.acquire()
    except TimeoutError:
        raise _busy("other requests are changing the sets") from None
    try:
        # Shielded, so that a client that goes away does not release the lock too early.
        return await asyncio.shield(_and_release(parts, change))
    except StoreBusy:
        raise _busy("another process is changing the sets, such as a load") from None
    except (StoreFull, LedgerError) as error:
        problem = Problem(503, "no-room", "Cannot be stored", f"{error}; the operator must act")
        problem.headers["Retry-After"] = "60"
        raise problem from None


async def _and_release(parts: Parts, change: Callable[[], _Result]) -> _Result:
    try:
        return await run_in_threadpool(change)
    finally:
        parts.changing.release()


def _busy(detail: str) -> Problem:
    problem = Problem(503, "busy", "Busy", f"{detail}; nothing was changed, try again in a few seconds")
    problem.headers["Retry-After"] = "5"
    return problem
