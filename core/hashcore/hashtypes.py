"""The registry of hash types: the one place that knows widths, matching rules and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hashcore.errors import BadDistance, UnknownHashType


class Rule(StrEnum):
    """How two hashes of a type are compared."""

    EXACT = "exact"
    HAMMING = "hamming"
    EUCLIDEAN = "euclidean"


@dataclass(frozen=True, slots=True)
class HashType:
    """One type of hash.

    Args:
        name: its name in files, requests and answers.
        width: bytes in a digest.
        rule: how digests are compared.
        default_distance: the distance within which two hashes match unless a set or a request says
            otherwise.
        greatest_distance: the largest distance that a request may ask for.
        benign: digests of harmless content that is found everywhere, with a description of that
            content; never loaded into a set that reports matches.
    """

    name: str
    width: int
    rule: Rule = Rule.EXACT
    default_distance: int = 0
    greatest_distance: int = 0
    benign: Mapping[bytes, str] = field(default_factory=dict)

    @property
    def hex_digits(self) -> int:
        """Hexadecimal digits in the written form."""
        return 2 * self.width

    @property
    def is_near(self) -> bool:
        """Whether hashes of this type match within a distance."""
        return self.rule is not Rule.EXACT

    @property
    def base64_characters(self) -> int | None:
        """Characters in the base64 form that PhotoDNA tools print; None for other types."""
        return self.width // 3 * 4 if self.rule is Rule.EUCLIDEAN else None


_EMPTY_FILE = {
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def _exact(name: str, width: int) -> HashType:
    return HashType(name, width, benign={bytes.fromhex(_EMPTY_FILE[name]): "the empty file"})


def _blank(*digests: bytes) -> Mapping[bytes, str]:
    return dict.fromkeys(digests, "a blank picture")


def _photodna() -> HashType:
    """PhotoDNA: 144 sums of gradients, one byte each.

    The software that computes it is proprietary and not part of this program. Two hashes are
    compared by the Euclidean distance of the vectors: Farid, "Reining in Online Abuses", Technology
    and Innovation 19, 2018; Steinebach, "Efficient Hash Lookup for PhotoDNA", Electronic Imaging
    2024. Microsoft has published no threshold. The default is that of IPED, the forensic tool of
    the Brazilian Federal Police: a squared distance of 40,000 (`maxSimilarityDistance`), which is a
    distance of 200. Distances are rounded up to whole numbers, so a rounded distance is within a
    threshold exactly when the true one is.
    """
    return HashType("photodna", 144, Rule.EUCLIDEAN, 200, 255, _blank(bytes(144)))


HASH_TYPES: dict[str, HashType] = {
    each.name: each
    for each in (
        _exact("md5", 16),
        _exact("sha1", 20),
        _exact("sha256", 32),
        HashType("pdq", 32, Rule.HAMMING, 31, 64, _blank(bytes(32), b"\xff" * 32)),
        HashType("phash", 8, Rule.HAMMING, 8, 16, _blank(bytes(8), b"\x80" + bytes(7), b"\xff" * 8)),
        _photodna(),
    )
}
"""Hash types by name. The primary hash of an entry is its first one in this order."""


def check_distance(name: str, distance: int) -> None:
    """Refuse a distance that a request may not ask for.

    Raises:
        UnknownHashType: no hash type has that name.
        BadDistance: the type matches exactly, or the distance is out of range.
    """
    asked = hash_type(name)
    if not asked.is_near:
        near = ", ".join(other.name for other in HASH_TYPES.values() if other.is_near)
        raise BadDistance(f"{name} hashes match exactly or not at all; only {near} take a distance")
    if not 0 <= distance <= asked.greatest_distance:
        raise BadDistance(f"a distance for {name} must be from 0 to {asked.greatest_distance}, not {distance}")


def hash_type(name: str) -> HashType:
    """Look up a hash type by name.

    Raises:
        UnknownHashType: no hash type has that name; the message lists those that exist.
    """
    try:
        return HASH_TYPES[name]
    except KeyError:
        known = ", ".join(HASH_TYPES)
        raise UnknownHashType(f"unknown hash type {name!r}; known types: {known}") from None
