"""CIRCL hashlookup: `/lookup/{type}/{hash}`, `/bulk/{type}` and `/info`, as on its public server.

Source: https://www.circl.lu/services/hashlookup/ and https://hashlookup.circl.lu/swagger.json. Its
clients take a file that is found for a harmless one unless the answer says otherwise, hence
`KnownMalicious` and a trust of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Path as InPath
from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope

from hashcore import HASH_TYPES, HashType
from hashcore.disk.layout import Manifest
from hashserver import __version__
from hashserver.parties import Party
from hashserver.parties.directory import require
from hashserver.server.answers import NamedMatch
from hashserver.server.bodies.json_body import decode_items
from hashserver.server.bodies.request import CheckRequest, check_count
from hashserver.server.body import read_body
from hashserver.server.checks import Checked, check
from hashserver.server.direct import DirectRoutes
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts, identify
from hashserver.server.problems import Problem, malformed
from hashserver.server.protocols.messages import JSON, answers, speaks_messages
from hashserver.server.protocols.one_hash import MalformedHash, check_one

routes = DirectRoutes("existing clients")

NAMES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}
"""The hash types of the protocol, and its names for them."""

_VERSION = "1.2"  # of the protocol
_TRUST = 0  # of 100: no trust at all in the legitimacy of the file
_INLINE_BYTES = 1 << 17
_INLINE_MATCHES = 1000


_EXAMPLE = {
    "MD5": "9E107D9D372BB6826BD81D3542A419D6",
    "source": "police",
    "KnownMalicious": "police",
    "hashlookup:trust": 0,
    "entries": [{"set": "police", "category": "baseline", "id": "A-17"}],
}
_REFUSED = (400, 401, 403, 404, 429, 503)


async def _type(type: Annotated[str, InPath(description="md5, sha1 or sha256")]) -> None:
    """The parameter of `/bulk/{type}`."""


async def _type_and_hash(
    type: Annotated[str, InPath(description="md5, sha1 or sha256")],
    hash: Annotated[str, InPath(description="The hash in hexadecimal")],
) -> None:
    """The parameters of `/lookup/{type}/{hash}`."""


@routes.add(
    "GET",
    "/lookup/{type}/{hash}",
    direct=tuple(f"/lookup/{name}/" for name in NAMES),
    parameters=_type_and_hash,
    summary="CIRCL hashlookup: what is known of a hash",
    description="200 with the sets that hold the hash, or 404 with the message that hashlookup's clients "
    "look for.",
    responses=answers("What is known.", _EXAMPLE, *_REFUSED),
)
@speaks_messages
async def lookup(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Look up one hash: 200 with what is known, or 404.

    Raises:
        Problem: 400 for a malformed hash, 401, 403, 404 for an unknown type, 429 or 503.
    """
    _, _, name, text = scope["path"].split("/", 3)
    hash_type = _hash_type(name)
    caller = identify(parts, headers_of(scope))
    try:
        checked = await check_one(parts, caller, hash_type, text.encode())
    except MalformedHash as error:
        raise _malformed(hash_type, error) from None
    found = next(_found(hash_type, checked), None)
    if found is not None:
        return Response(orjson.dumps(found), 200, checked.headers, JSON)
    missing = {"message": f"Non existing {NAMES[hash_type.name]}", "query": text}
    return Response(orjson.dumps(missing), 404, checked.headers, JSON)


@routes.add(
    "POST",
    "/bulk/{type}",
    direct=tuple(f"/bulk/{name}" for name in NAMES),
    parameters=_type,
    summary="CIRCL hashlookup: which of many hashes are known",
    description="The hashes that are known, in the order of the request; unknown and malformed ones are left out.",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "properties": {"hashes": {"type": "array", "items": {"type": "string"}}},
                        "required": ["hashes"],
                    },
                    "example": {"hashes": ["9e107d9d372bb6826bd81d3542a419d6"]},
                }
            },
        }
    },
    responses=answers("Those that are known.", [_EXAMPLE], *_REFUSED, 413),
)
@speaks_messages
async def bulk(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """Look up many hashes, and answer those that are known; malformed ones are skipped.

    Raises:
        Problem: 400 when the body is not what it should be, 401, 403, 404, 413, 429 or 503.
    """
    hash_type = _hash_type(scope["path"].rpartition("/")[2])
    headers = headers_of(scope)
    caller = identify(parts, headers)
    body = await read_body(headers, receive, parts.limits.max_body_bytes)
    if len(body) > _INLINE_BYTES:
        asked = await run_in_threadpool(_read_bulk, parts, hash_type, body)
    else:
        asked = _read_bulk(parts, hash_type, body)
    checked = await check(parts, caller, asked)
    encode = partial(_encode, hash_type, checked)
    large = len(checked.answer.matches) > _INLINE_MATCHES
    return Response(await run_in_threadpool(encode) if large else encode(), 200, checked.headers, JSON)


def _encode(hash_type: HashType, checked: Checked) -> bytes:
    return orjson.dumps(list(_found(hash_type, checked)))


def _read_bulk(parts: Parts, hash_type: HashType, body: bytearray) -> CheckRequest:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}", offset=error.pos) from None
    hashes = value.get("hashes") if isinstance(value, dict) else None
    if not isinstance(hashes, list):
        raise malformed("JSON format incorrect. An array of hashes in the key 'hashes' is expected.")
    check_count(len(hashes), parts.limits)
    asked, invalid = decode_items(hash_type, hashes)
    return CheckRequest([asked], invalid)


def _found(hash_type: HashType, checked: Checked) -> Iterator[dict[str, Any]]:
    """The hashes that matched, as the protocol names what it knows of a file."""
    for match in checked.answer.matches:
        yield {
            NAMES[hash_type.name]: match.digest.hex().upper(),
            "source": match.entries[0].set,
            "KnownMalicious": ", ".join(dict.fromkeys(entry.set for entry in match.entries)),
            "hashlookup:trust": _TRUST,
            "entries": _entries(match),
        }


def _entries(match: NamedMatch) -> list[dict[str, Any]]:
    return [{"set": entry.set, "category": entry.category, "id": entry.id} for entry in match.entries]


@routes.add(
    "GET",
    "/info",
    summary="CIRCL hashlookup: what the server holds",
    description="How many hashes the party can look up.",
    responses=answers("Counts, never hashes.", {"hashlookup-version": _VERSION, "generation": 42}, 401, 403),
)
@speaks_messages
async def info(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """How many hashes the caller can look up.

    Raises:
        Problem: 401 or 403.
    """
    caller = identify(parts, headers_of(scope))
    require(caller.party, "check")
    with parts.store.read() as snapshot:
        return Response(orjson.dumps(describe(snapshot.manifest, caller.party)), media_type=JSON)


def describe(manifest: Manifest, party: Party) -> dict[str, Any]:
    """What `/info` answers: how many hashes a party can look up, and in which generation."""
    served = [
        entry
        for entry in manifest.sets.values()
        if entry.role == "match" and (party.sets is None or entry.name in party.sets)
    ]
    counts = {name: sum(entry.counts.get(name, 0) for entry in served) for name in NAMES}
    return {
        "hashlookup-version": _VERSION,
        "hashserver-version": __version__,
        "generation": manifest.generation,
        "stat:hashlookup_total_keys": sum(counts.values()),
        **{f"stat:{name}": count for name, count in counts.items()},
    }


def _hash_type(name: str) -> HashType:
    hash_type = HASH_TYPES.get(name)
    if hash_type is None or name not in NAMES:
        raise Problem(
            404,
            "unknown-hash-type",
            "Unknown hash type",
            f"hash type {name[:40]!r} cannot be looked up; types: {', '.join(NAMES)}",
        )
    return hash_type


def _malformed(hash_type: HashType, error: MalformedHash) -> Problem:
    name = NAMES[hash_type.name]
    detail = f"{name} value incorrect, expecting a {name} value in hex format: {error}"
    return Problem(400, "malformed-hash", "Malformed hash", detail)
