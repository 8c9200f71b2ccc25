"""Errors as CIRCL's and HMA's clients expect them: `{"message": ...}` with the status."""

from __future__ import annotations

from functools import wraps
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope

from hashserver.server.direct import Handler
from hashserver.server.errors import REFUSALS, problem_of
from hashserver.server.parts import Parts

JSON = "application/json"


def speaks_messages(handler: Handler) -> Handler:
    """A handler whose refusals leave as `{"message": ...}`."""

    @wraps(handler)
    async def respond(parts: Parts, scope: Scope, receive: Receive) -> Response:
        try:
            return await handler(parts, scope, receive)
        except REFUSALS as error:
            problem = problem_of(error)
            content = orjson.dumps({"message": problem.detail, **problem.extra})
            return Response(content, problem.status, dict(problem.headers), JSON)

    return respond


def answers(description: str, example: Any, *refusals: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for OpenAPI: an example of 200, and messages for the others."""
    told: dict[int | str, dict[str, Any]] = {200: _described(description, example)}
    return told | {status: _described("See `message`.", {"message": "..."}) for status in refusals}


def _described(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"example": example}}}
