"""The bodies that `POST /v2/check` accepts: bytes in, arrays of digests out."""

from __future__ import annotations

from hashcore.hashtypes import HASH_TYPES, HashType
from hashserver.server.bodies.arrow import parse_arrow
from hashserver.server.bodies.json_body import parse_json
from hashserver.server.bodies.packed import parse_packed
from hashserver.server.bodies.request import CheckRequest, checked_distance, known_type
from hashserver.server.bodies.text import parse_text
from hashserver.server.problems import RequestLimits, unprocessable, unsupported

JSON = "application/json"
PACKED = "application/octet-stream"
TEXT = "text/plain"
ARROW = "application/vnd.apache.arrow.stream"
ACCEPTED = (JSON, PACKED, TEXT, ARROW)


def parse_body(
    content_type: str,
    type_parameter: str | None,
    body: bytes | bytearray,
    limits: RequestLimits,
    *,
    max_distance: int | None = None,
) -> CheckRequest:
    """Read a body according to its Content-Type.

    Args:
        content_type: the header as it stands.
        type_parameter: the query parameter `type`, for bodies that do not name their hash type.
        body: unpacked.
        limits: on the request.
        max_distance: the query parameter, for the same bodies.

    Raises:
        Problem: 400, 413, 415 or 422.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == JSON:
        return parse_json(body, limits)
    if media_type == ARROW:
        request = parse_arrow(body, limits)
        near = [asked.hash_type.name for asked in request.asked if asked.hash_type.is_near]
        return _within(request, near or [asked.hash_type.name for asked in request.asked], max_distance)
    if media_type not in (PACKED, TEXT):
        accepted = ", ".join(ACCEPTED)
        said = f"Content-Type {media_type[:80]!r} is not supported" if media_type else "there is no Content-Type"
        raise unsupported(f"{said}; use one of {accepted}", Accept_Post=accepted)
    hash_type = _named_type(type_parameter)
    request = (
        parse_packed(body, hash_type, limits) if media_type == PACKED else parse_text(body, hash_type, limits)
    )
    return _within(request, [hash_type.name], max_distance)


def _within(request: CheckRequest, hash_types: list[str], max_distance: int | None) -> CheckRequest:
    """Use the distance from the address for some hash types of a request."""
    if max_distance is not None:
        request.max_distance.update({name: checked_distance(name, max_distance) for name in hash_types})
    return request


def _named_type(name: str | None) -> HashType:
    if name is None:
        raise unprocessable(f"name the hash type of the body with ?type=, one of {', '.join(HASH_TYPES)}")
    return known_type(name)
