"""What tells an entry from others of its set: its external id, or else its first hash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashcore import Entry  # loading it would make every committer start much later

_ID, _HASH = "id:", "hash:"


def key_of(entry: Entry) -> str:
    """The key of an entry: `id:` and its id, or `hash:` and its first hash in hexadecimal."""
    return f"{_ID}{entry.id}" if entry.id is not None else f"{_HASH}{(entry.digest or b'').hex()}"


def split_keys(keys: Iterable[str]) -> tuple[list[str], list[bytes]]:
    """The external ids, and the first hashes (digests), that keys were made from."""
    ids, digests = [], []
    for key in keys:
        if key.startswith(_ID):
            ids.append(key.removeprefix(_ID))
        else:
            digests.append(bytes.fromhex(key.removeprefix(_HASH)))
    return ids, digests
