"""Reading a request body within a bound."""

from __future__ import annotations

from fastapi import Request

from hashserver.problems import Problem, too_large


async def read_body(request: Request, limit: int) -> bytearray:
    """Read the whole body.

    Raises:
        Problem: 413, as soon as the body is, or says it is, larger than `limit` bytes.
    """
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _over(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _over(limit)
    return body


def _over(limit: int) -> Problem:
    # What is left of the body would be taken for the next request.
    problem = too_large(f"the body is larger than {limit:,} bytes; send the hashes in smaller requests", limit)
    problem.headers["Connection"] = "close"
    return problem
