"""What tells an entry from the others of its set: its external id, or its first hash if it has none."""

from __future__ import annotations

from collections.abc import Iterable

from hashcore import Entry

_ID, _HASH = "id:", "hash:"


def key_of(entry: Entry) -> str:
    """The key of an entry."""
    return f"{_ID}{entry.id}" if entry.id is not None else f"{_HASH}{(entry.digest or b'').hex()}"


def split_keys(keys: Iterable[str]) -> tuple[list[str], list[bytes]]:
    """The external ids, and the first hashes, that keys are made of."""
    ids, digests = [], []
    for key in keys:
        if key.startswith(_ID):
            ids.append(key.removeprefix(_ID))
        else:
            digests.append(bytes.fromhex(key.removeprefix(_HASH)))
    return ids, digests
