"""`GET /metrics`: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from hashserver.server.access import MayReport
from hashserver.server.errors import refusal
from hashserver.server.metrics import scrape
from hashserver.server.parts import Parts

router = APIRouter(tags=["health"])

_EXAMPLE = 'hashserver_hits_total{type="md5"} 7.4e+06\nhashserver_generation 42.0\n'


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Of all workers.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        401: refusal("No valid key."),
        403: refusal("The party does not have the permission report."),
    },
)
async def metrics(request: Request, caller: MayReport) -> Response:
    """Latencies, hashes, hits and entries, in Prometheus' text format."""
    parts: Parts = request.app.state.parts
    parts.latencies.flush()
    text = await run_in_threadpool(scrape, parts.store, parts.latencies, trouble=parts.ledger.trouble is not None)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
