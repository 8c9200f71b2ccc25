"""What sets are served: names and counts, never hashes."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from hashserver.server.access import AnyParty
from hashserver.sets.describe import describe

router = APIRouter(tags=["sets"])

_EXAMPLE = {
    "generation": 42,
    "published": "2026-03-01T04:00:00Z",
    "sets": [
        {
            "name": "police",
            "role": "match",
            "entries": 1200000,
            "hashes": {"md5": 1200000, "sha1": 800000, "pdq": 400000},
            "max_distance": {"pdq": 31},
            "changed": "2026-03-01T04:00:00Z",
            "added": 1200,
            "removed": 3,
        }
    ],
}


@router.get(
    "/v2/sets",
    summary="The hash sets that are served",
    response_class=Response,
    responses={200: {"description": "Names and counts.", "content": {"application/json": {"example": _EXAMPLE}}}},
)
async def list_sets(request: Request, caller: AnyParty) -> Response:
    """Role, number of entries, hashes by type and last change of each set; never hashes."""
    with request.app.state.parts.store.read() as snapshot:
        body = orjson.dumps(describe(snapshot.manifest))
    return Response(body, media_type="application/json")
