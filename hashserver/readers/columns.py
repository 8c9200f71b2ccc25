"""Which column means what: the names that every format with named columns understands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.text.hexcodec import decode_base64
from hashserver.readers.errors import ReadError

ROLES = (*HASH_TYPES, "category", "id", "name", "quality")
"""What a column can hold."""

_WORDS = {
    "category": "category categories categorie categorieen cat categoryname categorylabel class classification "
    "classificatie klasse rubriek",
    "id": "id identifier externalid entryid recordid itemid mediaid hashid guid uuid reference referencenumber "
    "ref referentie kenmerk nummer volgnummer registratienummer identificatie identificatienummer",
    "name": "name path file filename filepath fullpath naam bestand bestandsnaam pad",
    "quality": "quality pdqquality hashquality kwaliteit",
}
_HASH_NAMES = {name: (name,) for name in HASH_TYPES} | {"photodna": ("photodna", "pdna")}
_AROUND_HASHES = (
    *("{}", "{}hash", "{}sum", "{}digest", "{}checksum", "{}value", "{}hashvalue", "{}hex"),
    *("hash{}", "file{}"),
)
_ALIASES = {word: role for role, words in _WORDS.items() for word in words.split()} | {
    form.format(name): hash_type
    for hash_type, names in _HASH_NAMES.items()
    for name in names
    for form in _AROUND_HASHES
}
_PLAIN = {*ROLES, "sha-1", "sha-256", "path", "file", "filename"}  # preferred where several columns have a role
_BETWEEN_WORDS = re.compile(r"[\s_.\-\u2010\u2013\ufeff]+")
_ACCENTS = str.maketrans("\u00eb\u00e9\u00e8", "eee")

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
        category, id, name, quality: positions of the others, or None.
        columns: how many there are.
        header: whether the first record names them.
        ignored: names of those that mean nothing, or their numbers where they have none.
    """

    hashes: dict[str, int]
    category: int | None = None
    id: int | None = None
    name: int | None = None
    columns: int = 1
    header: bool = False
    quality: int | None = None
    ignored: tuple[str, ...] = ()

    @property
    def positions(self) -> list[int]:
        """The columns that mean something."""
        each = [*self.hashes.values(), self.category, self.id, self.name, self.quality]
        return [position for position in each if position is not None]


def role_of(name: str) -> str | None:
    """What a column of that name holds, one of `ROLES`; None: ignored.

    Case, spaces, dashes and underscores do not count, and the usual words around the name of a hash
    type do no harm.
    """
    word = _BETWEEN_WORDS.sub("", name.strip().strip('"').lower())
    return _ALIASES.get(word.translate(_ACCENTS))


def roles_by_name(names: Iterable[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Which of some names holds what: the name of each role that has one.

    Args:
        names: of columns or members, in their order.
        chosen: names by role, as the user gave them; they need not be among the names.
    """
    taken = set(chosen.values())
    found = dict(chosen)
    others = [name for name in names if name not in taken]
    for name in sorted(others, key=lambda name: name.strip().strip('"').lower() not in _PLAIN):
        role = role_of(name)
        if role is not None:
            found.setdefault(role, name)
    return found


def by_header(
    fields: Sequence[str], chosen: str | None = None, named: Mapping[str, str] | None = None
) -> Meaning | None:
    """Read a header; None when it names no hash column.

    A column named "hash" holds hashes of the type that the user has chosen, if there is no better.

    Args:
        fields: the names of the columns.
        chosen: the hash type that the user named.
        named: names of columns by role that the user gave.

    Raises:
        ReadError: no column has a name that the user gave.
    """
    names = [field.strip().strip('"\ufeff').strip() for field in fields]
    wanted = {role: _find_named(name, names) for role, name in (named or {}).items()}
    roles = {role: names.index(name) for role, name in roles_by_name(names, wanted).items()}
    hashes = {role: position for role, position in roles.items() if role in HASH_TYPES}
    lowered = [name.lower() for name in names]
    if not hashes and chosen is not None and "hash" in lowered:
        hashes = {chosen: lowered.index("hash")}
    if not hashes:
        return None
    others = {role: roles.get(role) for role in ("category", "id", "name", "quality")}
    used = {*hashes.values(), *others.values()}
    ignored = tuple(
        name or f"column {position + 1}" for position, name in enumerate(names) if position not in used
    )
    return Meaning(hashes, **others, columns=len(fields), header=True, ignored=ignored)


def _find_named(name: str, names: Sequence[str]) -> str:
    """The name as it stands in the header."""
    if name in names:
        return name
    for each in names:
        if each.lower() == name.lower():
            return each
    raise ReadError(f"no column is named {name!r}; the columns are {', '.join(map(repr, names))[:500]}")


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

    Columns of hashes are known by their digits. A pHash beside other columns has to be named by the
    user: its 16 digits are those of other hashes, too, which listings have far more often. One
    other column, when there is just one, is taken for the external id, and for the name in a
    listing. A category is never guessed.
    """
    hashes: dict[str, int] = {}
    others = []
    for position, field in enumerate(fields):
        hash_type = type_of(field, chosen)
        if hash_type == "phash" and chosen != "phash" and len(fields) > 1:
            hash_type = None
        if hash_type is not None and hash_type not in hashes:
            hashes[hash_type] = position
        else:
            others.append(position)
    if not hashes:
        return None
    single = others[0] if len(others) == 1 else None
    ignored = tuple(f"column {position + 1}" for position in others if single is None)
    return Meaning(hashes, None, single, single, len(fields), False, None, ignored)
