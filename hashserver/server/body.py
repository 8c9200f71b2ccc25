"""Reading a request body, up to a size limit."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from hashserver.server.problems import Problem, too_large, unsupported


async def read_body(headers: dict[bytes, str], receive: Receive, limit: int) -> bytearray:
    """Read the whole body.

    Args:
        headers: of the request, names in lower case.
        receive: its ASGI channel.
        limit: largest size in bytes.

    Raises:
        Problem: 413, as soon as the body is larger, or its Content-Length says so.
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
    """Refuse a body that is not declared as JSON.

    Raises:
        Problem: 415.
    """
    media = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise unsupported(f"the Content-Type is {media[:100]!r}; send application/json")


def _over(limit: int) -> Problem:
    # The rest of the body would be read as the next request.
    problem = too_large(f"the body is larger than {limit:,} bytes; send the hashes in smaller requests", limit)
    problem.headers["Connection"] = "close"
    return problem
