"""Whether the process is alive, and whether it can answer checks."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

router = APIRouter(tags=["health"])


def _example(description: str, example: dict[str, object]) -> dict[str, object]:
    return {"description": description, "content": {"application/json": {"example": example}}}


@router.get(
    "/healthz",
    summary="Is the process alive",
    response_class=Response,
    responses={200: _example("It is.", {"status": "ok"})},
)
async def healthz() -> Response:
    """Always 200 while the process runs; needs no key."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/readyz",
    summary="Can this worker answer checks",
    response_class=Response,
    responses={
        200: _example("It can.", {"ready": True, "generation": 42}),
        503: _example(
            "It is still starting, cannot record hits, or has lost its files.",
            {"ready": False, "reason": "compiling"},
        ),
    },
)
async def readyz(request: Request) -> Response:
    """503 while this worker is starting, while the ledger cannot be written, or when files of the
    data folder are not those that were opened; needs no key."""
    parts = getattr(request.app.state, "parts", None)
    if parts is None or not parts.ready:
        return Response(
            b'{"ready":false,"reason":"the worker is still starting"}', 503, media_type="application/json"
        )
    reason = parts.trouble
    if reason is None and parts.ledger.trouble is not None:
        reason = f"checks that match are refused: {parts.ledger.trouble}"
    if reason is not None:
        return Response(orjson.dumps({"ready": False, "reason": reason}), 503, media_type="application/json")
    with parts.store.read() as snapshot:
        body = orjson.dumps({"ready": True, "generation": snapshot.generation})
    return Response(body, media_type="application/json")
