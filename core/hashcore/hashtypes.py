"""The registry of hash types: the one place that knows widths, matching rules and distances."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hashcore.errors import UnknownHashType


class Rule(StrEnum):
    """How two hashes of a type are compared."""

    EXACT = "exact"
    HAMMING = "hamming"


@dataclass(frozen=True, slots=True)
class HashType:
    """One kind of hash.

    Args:
        name: the word used in files, requests and answers.
        width: bytes in a digest.
        rule: how digests match.
        default_distance: the distance within which two hashes match unless somebody says otherwise.
        greatest_distance: the largest distance a request may ask for.
        benign: digests of this type that are harmless and everywhere (the empty file); never loaded
            into a set that reports matches.
    """

    name: str
    width: int
    rule: Rule = Rule.EXACT
    default_distance: int = 0
    greatest_distance: int = 0
    benign: frozenset[bytes] = frozenset()

    @property
    def hex_digits(self) -> int:
        """Hexadecimal digits in the written form."""
        return 2 * self.width


_EMPTY_FILE = {
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def _exact(name: str, width: int) -> HashType:
    return HashType(name, width, benign=frozenset({bytes.fromhex(_EMPTY_FILE[name])}))


HASH_TYPES: dict[str, HashType] = {
    kind.name: kind
    for kind in (
        _exact("md5", 16),
        _exact("sha1", 20),
        _exact("sha256", 32),
        HashType("pdq", 32, Rule.HAMMING, default_distance=31, greatest_distance=64),
        HashType("phash", 8, Rule.HAMMING, default_distance=8, greatest_distance=16),
    )
}
"""Hash types by name, in the order in which an entry's first hash is its primary one."""


def hash_type(name: str) -> HashType:
    """Look a hash type up by name.

    Raises:
        UnknownHashType: with the known names in its message.
    """
    try:
        return HASH_TYPES[name]
    except KeyError:
        known = ", ".join(HASH_TYPES)
        raise UnknownHashType(f"unknown hash type {name!r}; known types: {known}") from None
