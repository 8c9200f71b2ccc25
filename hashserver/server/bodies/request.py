"""A check request as values: arrays of digests, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashcore.errors import BadDistance
from hashcore.hashtypes import HASH_TYPES, HashType, check_distance
from hashcore.rows import Digests
from hashserver.server.problems import RequestLimits, too_many, unprocessable


@dataclass(frozen=True, slots=True)
class Asked:
    """The hashes of one type in a request.

    Args:
        hash_type: their type.
        digests: uint8[n, width], the well-formed ones.
        index: int64[n], the place of each among the items of its type; None when they are 0..n-1.
    """

    hash_type: HashType
    digests: Digests
    index: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class InvalidHash:
    """One item that is not a hash of its type: its place among those of the type, and why."""

    type: str
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """All that one request asks: hashes, items that are none, and distances by hash type."""

    asked: list[Asked]
    invalid: list[InvalidHash] = field(default_factory=list)
    max_distance: dict[str, int] = field(default_factory=dict)


def places_of_good(items: int, bad: list[int]) -> NDArray[np.int64] | None:
    """The indices of the items that are not bad; None when all are good."""
    return np.delete(np.arange(items, dtype=np.int64), bad) if bad else None


def bounded(request: CheckRequest, limits: RequestLimits) -> CheckRequest:
    """The request itself, if it does not hold too many hashes.

    Raises:
        Problem: 413.
    """
    check_count(sum(len(asked.digests) for asked in request.asked) + len(request.invalid), limits)
    return request


def check_count(hashes: int, limits: RequestLimits) -> None:
    """Refuse too many hashes, before each malformed one costs an object.

    Raises:
        Problem: 413.
    """
    if hashes > limits.max_hashes:
        raise too_many(hashes, limits)


def pointer_to(*names: str) -> str:
    """The JSON pointer (RFC 6901) to a member; long names are cut off."""
    return "".join("/" + name[:40].replace("~", "~0").replace("/", "~1") for name in names)


def known_type(name: str, **place: str) -> HashType:
    """The hash type of that name.

    Raises:
        Problem: 422 with the known names.
    """
    if name not in HASH_TYPES:
        known = ", ".join(HASH_TYPES)
        raise unprocessable(f"unknown hash type {name[:40]!r}; known types: {known}", **place)
    return HASH_TYPES[name]


def checked_distance(name: str, distance: object) -> int:
    """Validate one `max_distance`.

    Raises:
        Problem: 422.
    """
    pointer = pointer_to("max_distance", name)
    hash_type = known_type(name, pointer=pointer)
    if not isinstance(distance, int) or isinstance(distance, bool):
        raise unprocessable(
            f"max_distance of {name} must be a whole number from 0 to {hash_type.greatest_distance}",
            pointer=pointer,
        )
    try:
        check_distance(name, distance)
    except BadDistance as error:
        raise unprocessable(str(error), pointer=pointer) from None
    return distance
