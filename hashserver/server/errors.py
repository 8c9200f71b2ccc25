"""Every error leaves as RFC 9457 problem details; those of parties and sets are translated here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hashserver.parties.directory import NotAuthenticated, NotPermitted
from hashserver.parties.limits import OverLimit
from hashserver.server.problems import (
    Problem,
    forbidden,
    malformed,
    not_found,
    too_large,
    unauthorized,
    unprocessable,
)
from hashserver.sets.errors import BadMember, NotInStore, NotJson, TooManyEntries

log = logging.getLogger("hashserver")
MEDIA_TYPE = "application/problem+json"

_REASONS = {
    404: ("not-found", "there is nothing at this address; see /docs"),
    405: ("method-not-allowed", "this address does not support that method; see /docs"),
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


def _over_limit(error: OverLimit) -> Problem:
    slug, wait = f"{error.limit}-exceeded", error.wait
    problem = Problem(429, slug, "Too many hashes", str(error), retry_after=round(wait, 3))
    problem.headers["Retry-After"] = str(max(1, -int(-wait // 1)))
    problem.headers.update(error.allowance.headers())
    return problem


def _bad_member(error: BadMember) -> Problem:
    return unprocessable(str(error), **({} if error.pointer is None else {"pointer": error.pointer}))


_TRANSLATIONS: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    NotAuthenticated: lambda error: unauthorized(str(error)),
    NotPermitted: lambda error: forbidden(str(error)),
    OverLimit: _over_limit,
    NotJson: lambda error: malformed(str(error)),
    BadMember: _bad_member,
    TooManyEntries: lambda error: too_large(str(error), error.limit),
    NotInStore: lambda error: not_found(str(error)),
}

REFUSALS = tuple(_TRANSLATIONS)
"""The errors that a client can do something about; `problem_of` translates them."""


def problem_of(error: Exception) -> Problem:
    """One of REFUSALS as problem details."""
    return next(translate(error) for kind, translate in _TRANSLATIONS.items() if isinstance(error, kind))


def as_response(problem: Problem) -> Response:
    """A problem as an HTTP response."""
    headers = dict(problem.headers)
    return Response(problem.to_bytes(), problem.status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make an application answer all errors with problem details."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        return as_response(problem_of(error))

    for refused in REFUSALS:
        app.add_exception_handler(refused, on_refusal)

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
        return failed(str(getattr(request.scope.get("route"), "path", "an unknown route")))


def failed(route: str) -> Response:
    """Log the exception that is being handled, and answer 500.

    Args:
        route: the template of the request's route; the path itself may contain a hash, which must
            not be logged.
    """
    log.exception("a request to %s failed", route)
    detail = "the server failed unexpectedly; its log says why"
    return as_response(Problem(500, "internal-error", "Internal error", detail))
