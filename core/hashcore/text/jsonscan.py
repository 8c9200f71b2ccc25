"""A compiled scanner for the JSON of a check: an object of arrays of quoted hexadecimal.

One pass over the bytes decodes them straight into digests, without a Python object for each hash.
It understands one plain shape and gives up on everything else (escapes, non-ASCII bytes, other
values, repeated keys, errors), so that a real JSON parser decides about everything that is not
plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import as_writable, load_u64
from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashcore.text.hexcodec import INVALID, decode_eight

_MOST_INVALID = 4096
_GAVE_UP = -1
_QUOTE, _BACKSLASH, _COMMA, _COLON = 0x22, 0x5C, 0x2C, 0x3A
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = 0x7B, 0x7D, 0x5B, 0x5D


@dataclass(frozen=True, slots=True)
class ScannedArray:
    """One array of the body.

    Args:
        key: the index of its key among those of the scanner.
        digests: uint8[n, width], the well-formed items in order.
        items: how many items the array has.
        invalid: (index, start, length) of every other item; start and length count bytes of the
            body.
    """

    key: int
    digests: Digests
    items: int
    invalid: list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A body in the plain shape.

    Args:
        arrays: its arrays in order.
        option: where the object under the option key starts and stops, in bytes; None without one.
    """

    arrays: list[ScannedArray]
    option: tuple[int, int] | None


@nb.njit(cache=True, nogil=True, inline="always")
def _skip_space(body: NDArray[np.uint8], at: np.uint64, end: np.uint64) -> np.uint64:
    while at < end and (body[at] == 0x20 or body[at] == 0x0A or body[at] == 0x0D or body[at] == 0x09):
        at += np.uint64(1)
    return at


@nb.njit(cache=True, nogil=True, inline="always")
def _end_of_string(body: NDArray[np.uint8], at: np.uint64, end: np.uint64) -> np.uint64:
    """Where the closing quote of a plain string is; `end` if the string is not plain."""
    while at < end:
        character = body[at]
        if character == _QUOTE:
            return at
        if character < 0x20 or character >= 0x80 or character == _BACKSLASH:
            return end
        at += np.uint64(1)
    return end


@nb.njit(cache=True, nogil=True)
def _find_key(
    body: NDArray[np.uint8], start: np.uint64, stop: np.uint64, keys: NDArray[np.uint8], ends: NDArray[np.int64]
) -> int:
    first = 0
    for k in range(ends.shape[0]):
        length = ends[k] - first
        if np.int64(stop - start) == length:
            same = True
            for i in range(length):
                if body[start + np.uint64(i)] != keys[first + i]:
                    same = False
                    break
            if same:
                return k
        first = ends[k]
    return -1


@nb.njit(cache=True, nogil=True)
def scan_body(
    body: NDArray[np.uint8],
    keys: NDArray[np.uint8],
    ends: NDArray[np.int64],
    digits: NDArray[np.int64],
    words: NDArray[np.uint32],
    arrays: NDArray[np.int64],
    invalid: NDArray[np.int64],
    option: NDArray[np.int64],
) -> int:
    """Scan a body in one pass, O(len(body)).

    Args:
        body: uint8[size].
        keys: uint8[...], the known keys back to back; the last one is the option key.
        ends: int64[keys], where each of them ends in `keys`.
        digits: int64[keys], hexadecimal digits of the hashes under each key.
        words: uint32[size // 8 + 1], receives the digests of all arrays back to back.
        arrays: int64[keys, 5], receives for each array, in order: its key, first word, good items,
            items, and the number of invalid items in the body up to its end.
        invalid: int64[capacity, 3], receives index, start and length of invalid items.
        option: int64[2], receives where the option's object starts and stops; -1 without one.

    Returns:
        The number of arrays, or -1 if the body is not in the plain shape.
    """
    end = np.uint64(body.shape[0])
    base = np.uint64(body.ctypes.data)
    one = np.uint64(1)
    known = ends.shape[0]
    seen = np.zeros(known, np.bool_)
    option[0] = -1
    found, bad, used = 0, 0, np.uint64(0)
    at = _skip_space(body, np.uint64(0), end)
    if at >= end or body[at] != _OPEN_OBJECT:
        return _GAVE_UP
    at = _skip_space(body, at + one, end)
    closed = at < end and body[at] == _CLOSE_OBJECT
    while not closed:
        if at >= end or body[at] != _QUOTE:
            return _GAVE_UP
        start = at + one
        at = _end_of_string(body, start, end)
        if at >= end:
            return _GAVE_UP
        key = _find_key(body, start, at, keys, ends)
        if key < 0 or seen[key]:
            return _GAVE_UP
        seen[key] = True
        at = _skip_space(body, at + one, end)
        if at >= end or body[at] != _COLON:
            return _GAVE_UP
        at = _skip_space(body, at + one, end)
        if at >= end:
            return _GAVE_UP
        if key == known - 1:
            if body[at] != _OPEN_OBJECT:
                return _GAVE_UP
            option[0] = np.int64(at)
            while at < end and body[at] != _CLOSE_OBJECT:
                # A nested object would end at an inner brace, and arrays count towards how deep the
                # body may be nested: leave both to the real parser.
                at += one
                if at < end and (body[at] == _OPEN_OBJECT or body[at] == _OPEN_ARRAY or body[at] == _BACKSLASH):
                    return _GAVE_UP
            if at >= end:
                return _GAVE_UP
            at += one
            option[1] = np.int64(at)
        else:
            if body[at] != _OPEN_ARRAY:
                return _GAVE_UP
            width = np.uint64(digits[key])
            per_item = width >> np.uint64(3)
            first_word = used
            items = 0
            at = _skip_space(body, at + one, end)
            ended = at < end and body[at] == _CLOSE_ARRAY
            while not ended:
                if at >= end or body[at] != _QUOTE:
                    return _GAVE_UP
                at += one
                good = at + width < end and body[at + width] == _QUOTE
                if good:
                    for w in range(per_item):
                        value = decode_eight(load_u64(base + at + np.uint64(w) * np.uint64(8)))
                        if value == INVALID:
                            good = False
                            break
                        words[used + np.uint64(w)] = np.uint32(value)
                if good:
                    used += per_item
                    at += width + one
                else:
                    start = at
                    at = _end_of_string(body, at, end)
                    if at >= end or bad >= invalid.shape[0]:
                        return _GAVE_UP
                    invalid[bad, 0] = items
                    invalid[bad, 1] = np.int64(start)
                    invalid[bad, 2] = np.int64(at - start)
                    bad += 1
                    at += one
                items += 1
                if at + one < end and body[at] == _COMMA and body[at + one] == _QUOTE:
                    at += one
                    continue
                at = _skip_space(body, at, end)
                if at >= end:
                    return _GAVE_UP
                if body[at] == _COMMA:
                    at = _skip_space(body, at + one, end)
                elif body[at] == _CLOSE_ARRAY:
                    ended = True
                else:
                    return _GAVE_UP
            at += one
            arrays[found, 0] = key
            arrays[found, 1] = np.int64(first_word)
            arrays[found, 2] = np.int64((used - first_word) // per_item)
            arrays[found, 3] = items
            arrays[found, 4] = bad
            found += 1
        at = _skip_space(body, at, end)
        if at >= end:
            return _GAVE_UP
        if body[at] == _COMMA:
            at = _skip_space(body, at + one, end)
        elif body[at] == _CLOSE_OBJECT:
            closed = True
        else:
            return _GAVE_UP
    if _skip_space(body, at + one, end) != end:
        return _GAVE_UP
    return found


class Scanner:
    """Scans bodies that have arrays under the names of hash types.

    Args:
        hash_types: the hash types.
        option: one more key, whose value is a flat object that the scanner skips.
    """

    def __init__(self, hash_types: Sequence[HashType], option: str) -> None:
        names = [*(hash_type.name.encode() for hash_type in hash_types), option.encode()]
        self.hash_types = tuple(hash_types)
        self._keys = np.frombuffer(b"".join(names), np.uint8).copy()
        self._ends = np.cumsum([len(name) for name in names])
        self._digits = np.array([*(hash_type.hex_digits for hash_type in hash_types), 0])

    def scan(self, body: bytes | bytearray | memoryview) -> Scanned | None:
        """Scan a body; None if it is not in the plain shape. Releases the GIL. O(len(body))."""
        array = as_writable(np.frombuffer(body, np.uint8))
        words = np.empty(len(array) // 8 + 1, np.uint32)
        arrays = np.empty((len(self._ends), 5), np.int64)
        invalid = np.empty((_MOST_INVALID, 3), np.int64)
        option = np.empty(2, np.int64)
        found = scan_body(array, self._keys, self._ends, self._digits, words, arrays, invalid, option)
        if found < 0:
            return None
        scanned, first_bad = [], 0
        for key, first, good, items, last_bad in arrays[:found].tolist():
            width = self.hash_types[key].width
            digests = words[first : first + good * width // 4].view(np.uint8).reshape(good, width)
            bad = [tuple(row) for row in invalid[first_bad:last_bad].tolist()] if last_bad > first_bad else []
            scanned.append(ScannedArray(key, digests, items, bad))
            first_bad = last_bad
        return Scanned(scanned, None if option[0] < 0 else (int(option[0]), int(option[1])))
