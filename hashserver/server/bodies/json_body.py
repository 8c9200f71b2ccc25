"""JSON bodies: a compiled scanner for the usual form, orjson for all others; both agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from hashcore.hashtypes import HASH_TYPES, HashType
from hashcore.text.hexcodec import OK, decode_hex, explain_invalid
from hashcore.text.jsonscan import Scanned, Scanner
from hashserver.server.bodies.request import (
    Asked,
    CheckRequest,
    InvalidHash,
    bounded,
    check_count,
    checked_distance,
    known_type,
    places_of_good,
    pointer_to,
)
from hashserver.server.problems import RequestLimits, malformed, too_large, unprocessable

_OPTION = "max_distance"
_LARGE = 4 << 20
_SCANNER = Scanner(list(HASH_TYPES.values()), _OPTION)
_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}


def parse_json(body: bytes | bytearray, limits: RequestLimits) -> CheckRequest:
    """Read `{"md5": [...], "pdq": [...], "max_distance": {"pdq": 31}}`.

    Raises:
        Problem: 400 when it is not JSON, 413 when there are too many hashes, 422 when it asks for
            something that does not exist.
    """
    scanned = _SCANNER.scan(body)
    if scanned is not None:
        return _from_scan(body, scanned, limits)
    # Each value becomes an object of some sixty bytes: refuse a large body that holds far more than
    # it may.
    separators = sum(map(body.count, (b",", b"[", b"{"))) if len(body) > _LARGE else 0
    if separators > 4 * limits.max_hashes:
        raise too_large(
            f"the body holds some {separators:,} values, many more than {limits.max_hashes:,} hashes need",
            limits.max_hashes,
        )
    return parse_with_orjson(body, limits)


def _from_scan(body: bytes | bytearray, scanned: Scanned, limits: RequestLimits) -> CheckRequest:
    asked, invalid = [], []
    for array in scanned.arrays:
        hash_type = _SCANNER.hash_types[array.key]
        if any(length == hash_type.base64_characters for _, _, length in array.invalid):
            # The scanner knows hexadecimal only.
            return parse_with_orjson(body, limits)
        for index, start, length in array.invalid:
            reason = explain_invalid(hash_type, bytes(body[start : start + length]))
            invalid.append(InvalidHash(hash_type.name, index, reason))
        asked.append(
            Asked(hash_type, array.digests, places_of_good(array.items, [bad[0] for bad in array.invalid]))
        )
    distances: dict[str, int] = {}
    if scanned.option is not None:
        try:
            distances = _distances(orjson.loads(bytes(body[slice(*scanned.option)])))
        except orjson.JSONDecodeError:
            # Parsing the whole body tells what is wrong, and where.
            return parse_with_orjson(body, limits)
    return bounded(CheckRequest(asked, invalid, distances), limits)


def parse_with_orjson(body: bytes | bytearray, limits: RequestLimits) -> CheckRequest:
    """As `parse_json`, without the scanner: the reference for what a body means."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}", offset=error.pos) from None
    if not isinstance(value, dict):
        raise unprocessable(
            f"the body must be an object of arrays of hashes, not {_NAMES.get(type(value), 'a string')}"
        )
    arrays: list[tuple[HashType, list[Any]]] = []
    for name, items in value.items():
        if name == _OPTION:
            continue
        pointer = pointer_to(name)
        hash_type = known_type(name, pointer=pointer)
        if not isinstance(items, list):
            raise unprocessable(f"{name} must be an array of hashes", pointer=pointer)
        arrays.append((hash_type, items))
    request = CheckRequest([], [], _distances(value.get(_OPTION, {})))
    check_count(sum(len(items) for _, items in arrays), limits)
    for hash_type, items in arrays:
        good, bad = decode_items(hash_type, items)
        request.asked.append(good)
        request.invalid.extend(bad)
    return request


def _distances(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise unprocessable('max_distance must be an object such as {"pdq": 31}', pointer="/max_distance")
    return {name: checked_distance(name, distance) for name, distance in value.items()}


def decode_items(hash_type: HashType, items: list[Any]) -> tuple[Asked, list[InvalidHash]]:
    """Decode the items of a JSON array: the well-formed ones, and what is wrong with the others."""
    texts = [item if isinstance(item, str) else "" for item in items]
    # One byte a character: what is not Latin-1 becomes a question mark, which is no digit either.
    buffer = np.frombuffer("".join(texts).encode("latin-1", "replace"), np.uint8)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    digests, status, wrong = decode_hex(hash_type, buffer, np.cumsum(lengths) - lengths, lengths)
    if not wrong:
        return Asked(hash_type, digests), []
    bad = np.flatnonzero(status != OK).tolist()
    invalid = [InvalidHash(hash_type.name, index, _reason(hash_type, items[index])) for index in bad]
    return Asked(hash_type, np.delete(digests, bad, axis=0), places_of_good(len(items), bad)), invalid


def _reason(hash_type: HashType, item: Any) -> str:
    if isinstance(item, str):
        return explain_invalid(hash_type, item)
    return f"expected a string, got {_NAMES[type(item)]}"
