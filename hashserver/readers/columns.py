"""Which column means what: the names that every format with named columns understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.text.hexcodec import decode_base64

_ALIASES = {
    "sha-1": "sha1",
    "sha-256": "sha256",
    "category": "category",
    "id": "id",
    "name": "name",
    "path": "name",
    "file": "name",
    "filename": "name",
} | {name: name for name in HASH_TYPES}

_BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 16: "phash", 288: "photodna"}
_BY_BASE64 = {
    hash_type.base64_characters: hash_type
    for hash_type in HASH_TYPES.values()
    if hash_type.base64_characters is not None
}
_HEX = frozenset(b"0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the columns of a file are, by position.

    Args:
        hashes: position of each hash type's column.
        category, id, name: positions of the others, or None.
        columns: how many there are.
        header: whether the first record names them.
    """

    hashes: dict[str, int]
    category: int | None = None
    id: int | None = None
    name: int | None = None
    columns: int = 1
    header: bool = False


def role_of(name: str) -> str | None:
    """What a column of that name holds: a hash type, "category", "id" or "name"; None: ignored."""
    return _ALIASES.get(name.strip().strip('"').lower())


def by_header(fields: Sequence[str], chosen: str | None = None) -> Meaning | None:
    """Read a header; None when it names no hash column.

    A column named "hash" holds hashes of the type that the user has chosen, if there is no better.
    """
    roles: dict[str, int] = {}
    for position, field in enumerate(fields):
        role = role_of(field)
        if role is not None:
            roles.setdefault(role, position)
    hashes = {role: position for role, position in roles.items() if role in HASH_TYPES}
    lowered = [field.strip().strip('"').lower() for field in fields]
    if not hashes and chosen is not None and "hash" in lowered:
        hashes = {chosen: lowered.index("hash")}
    if not hashes:
        return None
    return Meaning(hashes, roles.get("category"), roles.get("id"), roles.get("name"), len(fields), True)


def type_of(cell: bytes, chosen: str | None) -> str | None:
    """The hash type of a written hash by its digits, None when it is no hash.

    Args:
        cell: the text.
        chosen: the type that the user named, which settles what 64 digits are.
    """
    cell = cell.strip()
    if len(cell) in _BY_BASE64 and decode_base64(_BY_BASE64[len(cell)], cell) is not None:
        return _BY_BASE64[len(cell)].name
    if not cell or not _HEX.issuperset(cell):
        return None
    if chosen is not None and look_up(chosen).hex_digits == len(cell):
        return chosen
    return _BY_DIGITS.get(len(cell))


def by_first_record(fields: Sequence[bytes], chosen: str | None) -> Meaning | None:
    """Guess the columns of a file without a header; None when no column looks like a hash.

    Columns of hashes are known by their digits. One other column, when there is just one, is taken
    for the external id, and for the name in a listing. A category is never guessed.
    """
    hashes: dict[str, int] = {}
    others = []
    for position, field in enumerate(fields):
        hash_type = type_of(field, chosen)
        if hash_type is not None and hash_type not in hashes:
            hashes[hash_type] = position
        else:
            others.append(position)
    if not hashes:
        return None
    single = others[0] if len(others) == 1 else None
    return Meaning(hashes, None, single, single, len(fields), False)
