"""Exports of hash exchanges: ThreatExchange's indicators and descriptors, StopNCII's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hashcore.hashtypes import HASH_TYPES
from hashcore.rows import Reject, Rows, Withdrawals
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.head import Head
from hashserver.readers.json_items import Path, read_items
from hashserver.readers.objects import Withdrawn, identifier_of, text_of, withdrawable_rows, word_of
from hashserver.readers.source import Source

_PLACES: tuple[Path, ...] = ((), ("data",), ("indicators",), ("hashRecords",))
_TYPE = re.compile(
    rb'"(?:type|indicator_type|signalType|signal_type)"\s*+:\s*+'
    rb'"(?:HASH_\w++|ImagePDQ|VideoMD5|VideoTMK|ImagePhotoDNA)"'
)
_TYPES = {
    "HASH_MD5": "md5",
    "HASH_SHA1": "sha1",
    "HASH_SHA256": "sha256",
    "HASH_PDQ": "pdq",
    "HASH_PHOTODNA": "photodna",
    "HASH_VIDEO_MD5": "md5",
    "IMAGEPDQ": "pdq",
    "IMAGEPHOTODNA": "photodna",
    "VIDEOMD5": "md5",
}
_TYPE_NAMES = ("type", "indicator_type", "signalType", "signal_type")
_VALUE_NAMES = ("raw_indicator", "indicator", "value", "hashValue")


def looks_like(head: Head) -> bool:
    """Whether a JSON document names types of hashes as the exchanges do."""
    return head.is_json and _TYPE.search(head.text) is not None


def read_exchange(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows | Withdrawals]:
    """Read an export; see `hashserver.readers.read_rows`. Lines are numbers of items.

    An item that its source has withdrawn is a withdrawal if it has an id, else a reject.
    """
    for items in read_items(source, _PLACES, on_reject=on_reject, block_bytes=block_bytes):
        yield from withdrawable_rows(items, _read, on_reject)


def _read(item: dict[str, Any]) -> dict[str, bytes]:
    found = _identify(item)
    if _is_withdrawn(item):
        raise Withdrawn(found.get("id", b""))
    if item.get("status") == "NON_MALICIOUS":
        raise ValueError("status: NON_MALICIOUS: its source considers it harmless")
    _, name = _first(item, _TYPE_NAMES)
    role = _TYPES.get(name.upper()) if isinstance(name, str) else None
    if role not in HASH_TYPES:
        raise ValueError(f"type: not supported; supported types: {', '.join(_TYPES)}")
    place, value = _first(item, _VALUE_NAMES)
    if isinstance(value, dict):
        place, value = f"{place}.indicator", value.get("indicator")
    if value is None:
        raise ValueError("no hash under raw_indicator, indicator, value or hashValue")
    found[role] = _photodna(place, value) if role == "photodna" else text_of(place, value)
    return found


def _photodna(place: str, value: Any) -> bytes:
    """ThreatExchange's form of PhotoDNA, 144 numbers separated by commas, in hexadecimal.

    Other forms are left as they are.
    """
    text = text_of(place, value)
    if b"," not in text:
        return text
    try:
        return bytes(map(int, text.split(b","))).hex().encode()
    except ValueError:
        raise ValueError(f"{place}: expected numbers from 0 to 255, separated by commas") from None


def _first(item: dict[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    return next(((name, item[name]) for name in names if item.get(name) is not None), (names[0], None))


def _identify(item: dict[str, Any]) -> dict[str, bytes]:
    """External id and category; records of StopNCII have no id but the number of their case."""
    found = {}
    identifier, cases = item.get("id"), item.get("caseNumbers")
    if identifier is None and isinstance(cases, dict) and len(cases) == 1:
        identifier = next(iter(cases))
    if identifier is not None:
        found["id"] = identifier_of("id", identifier)
    if (category := item.get("category")) is not None:
        found["category"] = word_of("category", category)
    return found


def _is_withdrawn(item: dict[str, Any]) -> bool:
    gone = any(item.get(name) in (True, "true") for name in ("should_delete", "deleted"))
    return gone or item.get("hashStatus") in ("Withdrawn", "Deleted")
