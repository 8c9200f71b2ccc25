"""Reading a request body within a bound."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from hashserver.server.problems import Problem, too_large, unsupported


async def read_body(headers: dict[bytes, str], receive: Receive, limit: int) -> bytearray:
    """Read the whole body.

    Args:
        headers: of the request, names in lower case.
        receive: its ASGI channel.
        limit: bytes that it may have.

    Raises:
        Problem: 413, as soon as the body is, or says it is, larger.
        ClientDisconnect: the client went away.
    """
    declared = headers.get(b"content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _over(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise _over(limit)
        if not message.get("more_body", False):
            return body


def require_json(headers: dict[bytes, str]) -> None:
    """Refuse a body of another kind.

    Raises:
        Problem: 415.
    """
    media = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise unsupported(f"the Content-Type is {media[:100]!r}; this is sent as application/json")


def _over(limit: int) -> Problem:
    # What is left of the body would be taken for the next request.
    problem = too_large(f"the body is larger than {limit:,} bytes; send the hashes in smaller requests", limit)
    problem.headers["Connection"] = "close"
    return problem
