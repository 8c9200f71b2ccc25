"""Tech Against Terrorism's hash list: objects with hash_digest, algorithm, deleted and id."""

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

_PLACES: tuple[Path, ...] = ((), ("results",), ("hashes",), ("data",))
_DIGEST = re.compile(rb'"hash_digest"\s*+:')
_ALGORITHM = re.compile(rb'"algorithm"\s*+:')


def looks_like(head: Head) -> bool:
    """Whether a JSON document has the members of this list."""
    return bool(head.is_json and _DIGEST.search(head.text) and _ALGORITHM.search(head.text))


def read_tat(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows | Withdrawals]:
    """Read the list; see `hashserver.readers.read_rows`. Lines are numbers of items.

    A deleted item is a withdrawal of its id.
    """
    for items in read_items(source, _PLACES, on_reject=on_reject, block_bytes=block_bytes):
        yield from withdrawable_rows(items, _read, on_reject)


def _read(item: dict[str, Any]) -> dict[str, bytes]:
    found = {}
    if (identifier := item.get("id")) is not None:
        found["id"] = identifier_of("id", identifier)
    deleted = item.get("deleted")
    if deleted in (True, "true"):
        raise Withdrawn(found.get("id", b""))
    if deleted not in (None, False, "false"):
        raise ValueError("deleted: expected true or false")
    if (ideology := item.get("ideology")) is not None:
        found["category"] = word_of("ideology", ideology)
    algorithm = item.get("algorithm")
    role = algorithm.lower().replace("-", "") if isinstance(algorithm, str) else None
    if role not in HASH_TYPES:
        raise ValueError(f"algorithm: not supported; supported: {', '.join(HASH_TYPES)}")
    value = item.get("hash_digest")
    found[role] = text_of("hash_digest", value)
    return found
