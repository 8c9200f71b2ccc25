"""What sets are served: names and counts, never hashes."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from hashserver.server.access import AnyParty
from hashserver.sets.describe import describe

router = APIRouter(tags=["sets"])

_EXAMPLE = {
    "generation": 42,
    "store": "f3a1c05e7b9d2468a0c4e8f215937bd6",
    "state": "9b1d7f30c2a84e56",
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
    """Role, number of entries, hashes by type and last change of each set; never hashes.

    A party that is checked against some sets only does not see the other match sets.
    """
    allowed = caller.party.sets
    with request.app.state.parts.store.read() as snapshot:
        described = describe(snapshot.manifest)
        ids = {"store": snapshot.store_id, "state": snapshot.state(allowed)}
    shown = [
        each for each in described["sets"] if allowed is None or each["role"] != "match" or each["name"] in allowed
    ]
    body = orjson.dumps({"generation": described["generation"], **ids, **described, "sets": shown})
    return Response(body, media_type="application/json")
