"""What sets are served: names and counts, never hashes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from hashcore import HASH_TYPES
from hashcore.disk.layout import Manifest
from hashserver.server.access import AnyParty

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


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def describe(manifest: Manifest) -> dict[str, Any]:
    """The sets of a generation, as the API and the command line show them."""
    return {
        "generation": manifest.generation,
        "published": timestamp(manifest.created) if manifest.generation else None,
        "sets": [
            {
                "name": entry.name,
                "role": entry.role,
                "entries": entry.entries,
                "hashes": entry.counts,
                "max_distance": {
                    name: entry.distances.get(name, HASH_TYPES[name].default_distance)
                    for name in entry.counts
                    if HASH_TYPES[name].is_near
                },
                "changed": timestamp(entry.loaded),
                "added": entry.added,
                "removed": entry.removed,
            }
            for _, entry in sorted(manifest.sets.items())
        ],
    }


@router.get(
    "/v2/sets",
    summary="The hash sets that are served",
    response_class=Response,
    responses={200: {"description": "Names and counts.", "content": {"application/json": {"example": _EXAMPLE}}}},
)
async def list_sets(request: Request, caller: AnyParty) -> Response:
    with request.app.state.parts.store.read() as snapshot:
        body = orjson.dumps(describe(snapshot.manifest))
    return Response(body, media_type="application/json")
