"""Every error leaves as RFC 9457 problem details."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hashserver.server.problems import Problem

log = logging.getLogger("hashserver")
MEDIA_TYPE = "application/problem+json"

_REASONS = {
    404: ("not-found", "there is nothing at this address; /docs lists what there is"),
    405: ("method-not-allowed", "this address does not take that method; /docs lists what it takes"),
}


_EXAMPLE = {
    "type": "/problems/malformed-body",
    "title": "Malformed body",
    "status": 400,
    "detail": "the body is not JSON: unexpected end of data at byte 17",
}


def refusal(description: str) -> dict[str, Any]:
    """A problem as the OpenAPI document describes it."""
    return {"description": description, "content": {MEDIA_TYPE: {"example": _EXAMPLE}}}


def as_response(problem: Problem) -> Response:
    """A problem as an HTTP response."""
    headers = dict(problem.headers)
    return Response(problem.to_bytes(), problem.status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer all errors of an application as problems."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return as_response(problem)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        slug, detail = _REASONS.get(error.status_code, ("http-error", str(error.detail)))
        response = as_response(Problem(error.status_code, slug, str(error.detail), detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return as_response(Problem(422, "invalid-parameter", "Invalid parameter", f"{place}: {first['msg']}"))

    @app.exception_handler(Exception)
    async def on_failure(request: Request, error: Exception) -> Response:
        return failed(str(getattr(request.scope.get("route"), "path", "an address of no route")))


def failed(route: str) -> Response:
    """Log the exception that is being handled, and answer 500.

    Args:
        route: the template of the request's route; its path may hold a hash, which is not for logs.
    """
    log.exception("a request to %s failed", route)
    detail = "the server failed to answer; its log says why"
    return as_response(Problem(500, "internal-error", "Internal error", detail))
