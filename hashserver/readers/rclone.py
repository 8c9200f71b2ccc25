"""What `rclone lsjson --hash` writes: an array of files with the hashes that the storage has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.empty_listing import format_of_empty_listing
from hashserver.readers.head import Head
from hashserver.readers.json_items import Path, read_items
from hashserver.readers.objects import checkable_rows, text_of
from hashserver.readers.source import Source

# The array by itself, and as the remote control's operations/list gives it.
_PLACES: tuple[Path, ...] = ((), ("list",))
_BEGINNING = re.compile(rb'\s*+(?:\[|\{\s*+"list"\s*+:\s*+\[)\s*+\{')
_PATH = re.compile(rb'"Path"\s*+:\s*+"')
_IS_DIR = re.compile(rb'"IsDir"\s*+:\s*+(?:true|false)')
# Old versions write MD5 and SHA-1.
_HASHES = {"md5": "md5", "sha1": "sha1", "sha-1": "sha1", "sha256": "sha256", "sha-256": "sha256"}


def looks_like(head: Head) -> bool:
    """Whether a JSON array has the members of this listing."""
    text = head.text
    return bool(_BEGINNING.match(text) and _PATH.search(text) and _IS_DIR.search(text))


def read_rclone(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read the listing; see `hashserver.readers.read_rows`. Lines are numbers of items.

    Folders are passed over; files without a hash of a type that is known here are not checkable.
    """
    if format_of_empty_listing(source.head) is not None:
        return
    for items in read_items(source, _PLACES, on_reject=on_reject, block_bytes=block_bytes):
        rows = checkable_rows(items, _read, source, on_reject)
        if rows is not None:
            yield rows


def _read(item: dict[str, Any]) -> dict[str, bytes] | None:
    if item.get("IsDir") is True:
        return None
    found = {}
    hashes = item.get("Hashes")
    if hashes is not None and not isinstance(hashes, dict):
        raise ValueError(f"Hashes: expected an object, got {type(hashes).__name__}")
    for name, value in (hashes or {}).items():
        role = _HASHES.get(name.lower())
        if role is not None and value not in (None, ""):
            found[role] = text_of(f"Hashes.{name}", value)
    if (path := item.get("Path")) is not None:
        found["name"] = text_of("Path", path)
    return found
