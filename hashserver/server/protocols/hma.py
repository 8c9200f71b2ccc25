"""Meta's Hasher-Matcher-Actioner: its matching API, so that users of HMA can ask this server.

A bank is a set, and `bank_content_id` is the ledger's number of an entry, the same for as long as
the entry lives. Source:
https://github.com/facebook/ThreatExchange/tree/main/hasher-matcher-actioner
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Query, Response
from starlette.types import Receive, Scope

from hashcore import HASH_TYPES, Entry, HashType
from hashcore.disk.layout import Manifest
from hashserver.parties import Party
from hashserver.parties.directory import require
from hashserver.server.answers import NamedMatch
from hashserver.server.checks import Checked
from hashserver.server.direct import DirectRoutes
from hashserver.server.headers import headers_of
from hashserver.server.parts import Parts, identify
from hashserver.server.problems import Problem
from hashserver.server.protocols.messages import JSON, answers, speaks_messages
from hashserver.server.protocols.one_hash import MalformedHash, check_one

routes = DirectRoutes("existing clients")

_HMA_NAMES = {"video_md5": "md5"}
"""Signal types whose names differ from those of our hash types; ours are understood, too."""


_PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
_CONTENT = {"bank_content_id": 1, "distance": "4"}
_REFUSED = (400, 401, 403, 429, 503)
_Signal = Annotated[str, Query(description="The hash", examples=[_PDQ])]
_SignalType = Annotated[
    str, Query(description="pdq, video_md5 for MD5, or one of our hash types", examples=["pdq"])
]


async def _signal(signal: _Signal, signal_type: _SignalType) -> None:
    """The parameters of `/m/lookup`."""


async def _signal_and_distance(
    signal: _Signal,
    signal_type: _SignalType,
    include_distance: Annotated[str, Query(description="true or false")] = "false",
) -> None:
    """The parameters of `/m/raw_lookup`."""


async def _signal_type(signal_type: str | None = None) -> None:
    """The parameter of `/m/index/status`."""


@routes.add(
    "GET",
    "/m/raw_lookup",
    parameters=_signal_and_distance,
    summary="HMA: entries near a hash",
    description="Every entry within each set's own distance of the hash.",
    responses=answers(
        "Nearest first; only numbers unless distances are asked for.", {"matches": [_CONTENT]}, *_REFUSED
    ),
)
@speaks_messages
async def raw_lookup(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """All entries within the distance, nearest first: their numbers, and distances if asked for.

    Raises:
        Problem: 400 for a bad parameter, 401, 403, 429 or 503.
    """
    asked = _parameters(scope)
    with_distance = _as_bool(asked.get("include_distance", "false"))
    checked = await _look_up(parts, scope, asked)
    found = [content for _, content in _contents(checked)]
    matches = found if with_distance else [content["bank_content_id"] for content in found]
    return Response(orjson.dumps({"matches": matches}), 200, checked.headers, JSON)


@routes.add(
    "GET",
    "/m/lookup",
    parameters=_signal,
    summary="HMA: entries near a hash, by bank",
    description="Every entry within each set's own distance of the hash, under the name of its set.",
    responses=answers(
        "Banks are our sets; an empty object where nothing matched.", {"police": [_CONTENT]}, *_REFUSED
    ),
)
@speaks_messages
async def lookup(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """All entries within the distance, by bank.

    Raises:
        Problem: 400 for a bad parameter, 401, 403, 429 or 503.
    """
    checked = await _look_up(parts, scope, _parameters(scope))
    banks: dict[str, list[dict[str, Any]]] = {}
    for bank, content in _contents(checked):
        banks.setdefault(bank, []).append(content)
    return Response(orjson.dumps(banks), 200, checked.headers, JSON)


@routes.add(
    "GET",
    "/m/index/status",
    parameters=_signal_type,
    summary="HMA: what the indexes hold",
    description="Counts and times, never hashes.",
    responses=answers(
        "By signal type.", {"pdq": {"present": True, "built_to": 1772337600, "size": 400000}}, 400, 401, 403
    ),
)
@speaks_messages
async def index_status(parts: Parts, scope: Scope, receive: Receive) -> Response:
    """How many hashes of each signal type a party can match against, and since when.

    Raises:
        Problem: 400 for a bad parameter, 401 or 403.
    """
    caller = identify(parts, headers_of(scope))
    require(caller.party, "check")
    only = _parameters(scope).get("signal_type")
    hash_types = (
        {_signal_name(hash_type): hash_type for hash_type in HASH_TYPES.values()}
        if only is None
        else {only: _hash_type(only)}
    )
    with parts.store.read() as snapshot:
        status = {
            name: describe(snapshot.manifest, caller.party, hash_type) for name, hash_type in hash_types.items()
        }
    return Response(orjson.dumps(status), media_type=JSON)


def describe(manifest: Manifest, party: Party, hash_type: HashType) -> dict[str, Any]:
    """The index of a signal type as HMA describes its own.

    Returns:
        `present`, `size` (hashes) and `built_to` (Unix seconds of the last change of a set, or -1).
    """
    sets = [
        entry
        for entry in manifest.sets.values()
        if entry.role == "match"
        and entry.counts.get(hash_type.name)
        and (party.sets is None or entry.name in party.sets)
    ]
    if not sets:
        return {"present": False, "built_to": -1, "size": 0}
    size = sum(entry.counts[hash_type.name] for entry in sets)
    return {"present": True, "built_to": int(max(entry.loaded for entry in sets)), "size": size}


async def _look_up(parts: Parts, scope: Scope, asked: dict[str, str]) -> Checked:
    caller = identify(parts, headers_of(scope))
    for name in ("signal", "signal_type"):
        if name not in asked:
            raise _bad(f"{name} is required", name)
    hash_type = _hash_type(asked["signal_type"])
    # In a query a plus sign means a space; base64 contains plus signs, and no hash contains spaces.
    signal = asked["signal"].strip().replace(" ", "+")
    try:
        return await check_one(parts, caller, hash_type, signal.encode(), numbered=True)
    except MalformedHash as error:
        raise _bad(f"invalid signal: {error}", "signal") from None


def _contents(checked: Checked) -> list[tuple[str, dict[str, Any]]]:
    """Bank and content of every entry that matched, nearest first."""
    return [
        (entry.set, {"bank_content_id": number, "distance": str(match.distance)})
        for (match, entry), number in zip(_matched(checked), checked.numbers, strict=True)
    ]


def _matched(checked: Checked) -> Iterator[tuple[NamedMatch, Entry]]:
    return ((match, entry) for match in checked.answer.matches for entry in match.entries)


def _parameters(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"))


def _hash_type(signal_type: str) -> HashType:
    hash_type = HASH_TYPES.get(_HMA_NAMES.get(signal_type, signal_type))
    if hash_type is None:
        known = ", ".join(_signal_name(hash_type) for hash_type in HASH_TYPES.values())
        raise _bad(f"No such SignalType {signal_type[:40]!r}; signal types: {known}", "signal_type")
    return hash_type


def _signal_name(hash_type: HashType) -> str:
    return next((hma for hma, ours in _HMA_NAMES.items() if ours == hash_type.name), hash_type.name)


def _as_bool(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise _bad("include_distance must be true or false", "include_distance")


def _bad(detail: str, parameter: str) -> Problem:
    return Problem(400, "invalid-parameter", "Invalid parameter", detail, parameter=parameter)
