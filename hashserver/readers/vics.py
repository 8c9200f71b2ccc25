"""Project VIC / VICS: the OData JSON of 1.1 to 1.3 and 2.0, with or without cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.head import Head
from hashserver.readers.json_items import Path, read_head, read_items
from hashserver.readers.objects import identifier_of, rows_of, text_of, word_of
from hashserver.readers.source import Source

_CONTEXTS = ("odata.metadata", "@odata.context")
_MODEL = "/ProjectVic/DataModels/"
_CASES = re.compile(rb'"(?:CaseID|CaseNumber|Media)"\s*+:\s*+[\["\dn]')
_MEDIA_FIRST = re.compile(
    rb'\s*+\{(?:\s*+"[^"\\]*+"\s*+:\s*+(?:"[^"\\]*+"|[-+.\w]++)\s*+,)*+\s*+"value"\s*+:\s*+\['
)
_MEDIA_ID = re.compile(rb'"(?:MediaID|VictimIdentified|OffenderIdentified|IsPrecategorized)"\s*+:')
_EXACT = (("MD5", "md5"), ("SHA1", "sha1"), ("SHA256", "sha256"))


def looks_like(head: Head) -> bool:
    """Whether a document begins as Project VIC's do: with the address of the data model, or media.

    The address may stand after the media, too far away to be seen.
    """
    return _model(head) is not None or (
        _MEDIA_FIRST.match(head.text) is not None and _MEDIA_ID.search(head.text) is not None
    )


def _model(head: Head) -> str | None:
    members = read_head(head.text)
    models = [members[name] for name in _CONTEXTS if isinstance(members.get(name), str)]
    return next((model for model in models if _MODEL.lower() in model.lower()), None)


def _place_of_media(head: Head) -> Path:
    model = _model(head)
    cases = model.lower().endswith("#cases") if model is not None else _CASES.search(head.text) is not None
    return ("value", "Media") if cases else ("value",)


def read_vics(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read Project VIC media; see `hashserver.readers.read_rows`. Lines are numbers of media.

    Of each is read: MediaID, Category (as it stands), MD5, SHA1, SHA256, and PhotoDNA, by itself or
    among AlternativeHashes, where a PDQ is read as well.
    """
    place = _place_of_media(source.head)
    for items in read_items(source, [place], on_reject=on_reject, block_bytes=block_bytes):
        values, broken = items.parse()
        rows = rows_of(items.numbers, values, _read, broken=broken, raw=items.raw, on_reject=on_reject)
        if rows is not None:
            yield rows


def _read(media: dict[str, Any]) -> dict[str, bytes]:
    get = media.get
    found = {}
    if (value := get("MediaID")) is not None:
        found["id"] = identifier_of("MediaID", value)
    if (value := get("Category")) is not None:
        found["category"] = word_of("Category", value)
    for name, role in _EXACT:
        if (value := get(name)) is not None:
            found[role] = text_of(name, value)
    others = get("AlternativeHashes")
    if (value := get("PhotoDNA") or _alternative(others, "photodna")) is not None:
        found["photodna"] = text_of("PhotoDNA", value)
    if (value := _alternative(others, "pdq")) is not None:
        found["pdq"] = text_of("PDQ", value)
    return found


def _alternative(hashes: Any, name: str) -> Any:
    """The one of a name, in lower case, among the hashes that have names."""
    if not isinstance(hashes, list):
        return None
    for each in hashes:
        if isinstance(each, dict) and str(each.get("HashName")).lower() == name:
            return each.get("HashValue")
    return None
