"""Hashes of pictures that show next to nothing: one colour, or one with a dot on it.

They are everywhere and harmless, and they lie close together, so that one of them in a match set
matches all the others. They are known by nearness, since no list of them would be complete:

- PDQ sets a bit for each of 256 frequencies that is above their median, so that the hash of a
  picture with something in it has 128 bits set. Black gives none. All other flat pictures give what
  rounding leaves of a constant, which is the same few words of 16 bits over and over
  (`_FLAT_ROWS`, found by hashing every grey in many sizes, here and with Meta's implementation). A
  hash within 64 bits of none, the greatest distance that a request may ask for, or within 31 bits
  of rows from that list, the distance at which two PDQs match by default, counts as blank. Of 313
  real pictures and icons the nearest was 38 bits away, of a million random hashes 48.
- A dot, wherever it is, has a spectrum that is the product of one row and one column, so that all
  rows of its hash are the same up to a change of all signs. What is within 24 bits of that counts
  as blank; real pictures were 38 bits away and more, random hashes are 96.
- pHash is made likewise, of 64 frequencies: blank is what is within 8 bits, the distance at which
  two match by default, of none, all, or the first bit alone, and what is within 2 bits of a dot.
- PhotoDNA is a vector of gradients, all zero for a flat picture: blank is what is within the
  default distance of that.

A line on a flat picture, and one half black and half white, leave rounding in most frequencies and
are not known by their hashes; their quality tells, where a list has it.
"""

from __future__ import annotations

from functools import cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import popcount_u64
from hashcore.hashtypes import HashType
from hashcore.rows import Digests

_FLAT_ROWS = (
    *(0x0000, 0xFFFF, 0x05F5, 0x280A, 0x945F, 0x4200, 0x1903, 0x42E4, 0x10BF, 0x0B40, 0xC84A),
    *(0x1134, 0x2C4B, 0x554B, 0xCC53, 0x13A0, 0x8200, 0x5E01, 0x017E, 0xA7A1),  # of Meta's implementation
    *(0x5555, 0xAAAA),  # of pictures of 16 pixels a side
)
_FLAT_DISTANCE = 31
_DOT_DISTANCE = 24
_PHASH_DOT_DISTANCE = 2
_LANES_16, _LANES_8 = np.uint64(0x0001000100010001), np.uint64(0x0101010101010101)
_ROWS_TRIED = 4  # as the row that the others are compared with, in case that one is out of the ordinary


def are_blank(hash_type: HashType, digests: Digests) -> NDArray[np.bool_]:
    """Which digests are those of blank pictures, bool[n]; of other types than perceptual, none.

    Args:
        hash_type: of the digests.
        digests: uint8[n, width].
    """
    found = np.zeros(len(digests), np.bool_)
    if not len(digests) or hash_type.name not in ("pdq", "phash", "photodna"):
        return found
    whole = np.require(digests, requirements=["C", "W"])
    if hash_type.name == "photodna":
        _find_near_zero(whole, hash_type.default_distance, found)
    elif hash_type.name == "phash":
        _find_blank_phash(whole.view(np.uint64).ravel(), hash_type.default_distance, found)
    else:
        _find_blank_pdq(whole.view(np.uint16), whole.view(np.uint64), _distances(), found)
    return found


def is_blank(hash_type: HashType, digest: bytes) -> bool:
    """Whether one digest is that of a blank picture; see `are_blank`."""
    return bool(are_blank(hash_type, np.frombuffer(bytearray(digest), np.uint8).reshape(1, -1))[0])


@cache
def _distances() -> NDArray[np.uint8]:
    """uint8[65536]: how many bits a row is from the nearest that a flat picture leaves.

    By rows as they lie in memory, most significant byte first.
    """
    rows = np.arange(1 << 16, dtype=np.uint16).byteswap()
    nearest: NDArray[np.uint8] = np.full(1 << 16, 16, np.uint8)
    for flat in _FLAT_ROWS:
        np.minimum(nearest, np.bitwise_count(rows ^ np.uint16(flat)), out=nearest)
    return nearest


@nb.njit(cache=True, nogil=True)
def _find_blank_pdq(
    rows: NDArray[np.uint16], words: NDArray[np.uint64], distances: NDArray[np.uint8], found: NDArray[np.bool_]
) -> None:
    """Mark blank PDQs, given as uint16[n, 16] and uint64[n, 4]. O(n)."""
    greatest = np.uint64(64)
    for i in range(rows.shape[0]):
        bits = np.uint64(0)
        for w in range(4):
            bits += popcount_u64(words[i, w])
        flat = 0
        for r in range(16):
            flat += distances[rows[i, r]]
        found[i] = bits <= greatest or bits >= np.uint64(256) - greatest or flat <= _FLAT_DISTANCE
        for tried in range(_ROWS_TRIED):
            if found[i]:
                break
            like = np.uint64(rows[i, 5 * tried]) * _LANES_16
            unlike = 0
            for w in range(4):
                unlike += _unlike_16(words[i, w] ^ like)
                if unlike > _DOT_DISTANCE:
                    break
            found[i] = unlike <= _DOT_DISTANCE


@nb.njit(cache=True, nogil=True)
def _unlike_16(word: np.uint64) -> int:
    """Bits by which four rows of 16 differ from none or all, whichever is nearer."""
    total = 0
    for lane in range(4):
        bits = int(popcount_u64((word >> np.uint64(16 * lane)) & np.uint64(0xFFFF)))
        total += min(bits, 16 - bits)
    return total


@nb.njit(cache=True, nogil=True)
def _find_blank_phash(words: NDArray[np.uint64], radius: int, found: NDArray[np.bool_]) -> None:
    """Mark blank pHashes, given as uint64[n] in memory order. O(n)."""
    for i in range(words.shape[0]):
        bits = np.int64(popcount_u64(words[i]))
        first = np.int64((words[i] >> np.uint64(7)) & np.uint64(1))  # that of the mean, in the first byte
        found[i] = bits - first <= radius or bits >= 64 - radius
        for tried in range(_ROWS_TRIED):
            if found[i]:
                break
            like = ((words[i] >> np.uint64(16 * tried)) & np.uint64(0xFF)) * _LANES_8
            other = words[i] ^ like
            unlike = 0
            for lane in range(8):
                differing = int(popcount_u64((other >> np.uint64(8 * lane)) & np.uint64(0xFF)))
                unlike += min(differing, 8 - differing)
            found[i] = unlike <= _PHASH_DOT_DISTANCE


@nb.njit(cache=True, nogil=True)
def _find_near_zero(vectors: NDArray[np.uint8], radius: int, found: NDArray[np.bool_]) -> None:
    """Mark vectors within a distance of zero. O(n)."""
    for i in range(vectors.shape[0]):
        total = 0
        for k in range(vectors.shape[1]):
            total += int(vectors[i, k]) * int(vectors[i, k])
        found[i] = total <= radius * radius
