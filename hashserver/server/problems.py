"""Problem details (RFC 9457): what a client did wrong, where in its input, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

_CHALLENGE = 'Bearer realm="hashserver", Basic realm="hashserver", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on one request; beyond them the answer is 413.

    Args:
        max_hashes: hashes of all types together.
        max_body_bytes: bytes as sent.
        max_unpacked_bytes: bytes after unpacking.
    """

    max_hashes: int = 1_000_000
    max_body_bytes: int = 64 << 20
    max_unpacked_bytes: int = 256 << 20


class Problem(Exception):
    """An error that the client can do something about.

    Args:
        status: of the HTTP response.
        slug: names the kind of problem; its type is the relative reference `/problems/SLUG`.
        title: the kind in words.
        detail: one sentence: what happened, where, what to do.
        extra: further members, such as `pointer` (RFC 6901) or `offset`.
    """

    def __init__(self, status: int, slug: str, title: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.slug, self.title, self.detail, self.extra = status, slug, title, detail, extra
        self.headers: dict[str, str] = {}

    def to_bytes(self) -> bytes:
        """The problem as JSON."""
        members = {"type": f"/problems/{self.slug}", "title": self.title, "status": self.status}
        return orjson.dumps({**members, "detail": self.detail, **self.extra})


def unauthorized(detail: str) -> Problem:
    """401: the request has no valid key."""
    problem = Problem(401, "unauthorized", "Unauthorized", detail)
    problem.headers["WWW-Authenticate"] = _CHALLENGE
    return problem


def forbidden(detail: str) -> Problem:
    """403: the party is known, but may not do this."""
    return Problem(403, "forbidden", "Forbidden", detail)


def not_found(detail: str) -> Problem:
    """404: what the request names does not exist."""
    return Problem(404, "not-found", "Not found", detail)


def malformed(detail: str, **extra: Any) -> Problem:
    """400: the body is not what its Content-Type says; `offset` and the like go into `extra`."""
    return Problem(400, "malformed-body", "Malformed body", detail, **extra)


def too_large(detail: str, limit: int) -> Problem:
    """413: more than a request may hold; `limit` is how much it may."""
    return Problem(413, "too-large", "Request too large", detail, limit=limit)


def too_many(hashes: int, limits: RequestLimits) -> Problem:
    """413: more hashes than a request may hold."""
    return too_large(
        f"the request holds {hashes:,} hashes, more than {limits.max_hashes:,}; send them in several requests",
        limits.max_hashes,
    )


def unsupported(detail: str, **headers: str) -> Problem:
    """415: a media type or encoding that is not supported."""
    problem = Problem(415, "unsupported-media-type", "Unsupported media type", detail)
    problem.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return problem


def files_lost(detail: str) -> Problem:
    """503: the store or the ledger is not what was opened, so nothing can be answered."""
    problem = Problem(503, "data-folder", "The data folder is not in order", detail)
    problem.headers["Retry-After"] = "60"
    return problem


def unprocessable(detail: str, **extra: Any) -> Problem:
    """422: well-formed, but it asks for something that does not exist or cannot be done."""
    return Problem(422, "unprocessable", "Unprocessable request", detail, **extra)
