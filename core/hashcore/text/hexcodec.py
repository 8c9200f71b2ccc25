"""From written hashes to digests: the one place that parses them.

Most are hexadecimal. A type may also be written in base64; strings of that length are tried as
base64 one by one.
"""

from __future__ import annotations

import binascii

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import as_writable, load_u64
from hashcore.hashtypes import HashType
from hashcore.rows import Digests

OK, WRONG_LENGTH, BAD_DIGIT = 0, 1, 2

_HIGH = np.uint64(0x8080808080808080)
_CASE = np.uint64(0x2020202020202020)
_NIBBLE = np.uint64(0x0F0F0F0F0F0F0F0F)
_ABOVE_9 = np.uint64(0x4646464646464646)  # 0x7F - '9'
_FROM_0 = np.uint64(0x5050505050505050)  # 0x80 - '0'
_ABOVE_F = np.uint64(0x1919191919191919)  # 0x7F - 'f'
_FROM_A = np.uint64(0x1F1F1F1F1F1F1F1F)  # 0x80 - 'a'
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_QUADS = np.uint64(0x0000FFFF0000FFFF)
_LOW_32 = np.uint64(0xFFFFFFFF)
INVALID = np.uint64(0xFFFFFFFFFFFFFFFF)


@nb.njit(cache=True, nogil=True, inline="always")
def decode_eight(word: np.uint64) -> np.uint64:
    """Turn eight ASCII hexadecimal digits into four bytes.

    Works on all eight characters of a little-endian 64-bit word at once (SWAR, after Lamport,
    "Multiple byte processing with full-word instructions", CACM 18(8), 1975).

    Args:
        word: the characters, the first in the lowest byte; either case.

    Returns:
        The four bytes in memory order in the low 32 bits, or INVALID when a character is no digit.
    """
    ascii_word = word & ~_HIGH
    lower = ascii_word | _CASE
    digit = (ascii_word + _FROM_0) & ~(ascii_word + _ABOVE_9)
    letter = (lower + _FROM_A) & ~(lower + _ABOVE_F) & _HIGH
    if ((digit | letter) & ~word & _HIGH) != _HIGH:
        return INVALID
    ones = letter >> np.uint64(7)
    nibbles = (word & _NIBBLE) + (ones << np.uint64(3)) + ones
    pairs = ((nibbles << np.uint64(4)) | (nibbles >> np.uint64(8))) & _PAIRS
    quads = (pairs | (pairs >> np.uint64(8))) & _QUADS
    return (quads | (quads >> np.uint64(16))) & _LOW_32


@nb.njit(cache=True, nogil=True)
def decode_spans(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[np.uint32],
    status: NDArray[np.uint8],
) -> int:
    """Decode n hexadecimal strings from anywhere in a buffer.

    Args:
        buffer: uint8[size], the text.
        starts: int64[n], where each string begins; must lie within the buffer.
        lengths: int64[n], characters in each; start + length must lie within the buffer.
        out: uint32[n, width / 4], receives the digests, as a view of uint8[n, width]; zeros for
            strings that are not hashes.
        status: uint8[n], receives OK, WRONG_LENGTH or BAD_DIGIT.

    Returns:
        How many strings are not hashes. O(n * width), no allocation.
    """
    base = np.uint64(buffer.ctypes.data)
    words = out.shape[1]
    bad = 0
    for i in range(starts.shape[0]):
        status[i] = OK
        if lengths[i] != 8 * words:
            status[i] = WRONG_LENGTH
        else:
            address = base + np.uint64(starts[i])
            for w in range(words):
                value = decode_eight(load_u64(address + np.uint64(8 * w)))
                if value == INVALID:
                    status[i] = BAD_DIGIT
                    break
                out[i, w] = np.uint32(value)
        if status[i] != OK:
            bad += 1
            for w in range(words):
                out[i, w] = np.uint32(0)
    return bad


def decode_hex(
    hash_type: HashType, buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[Digests, NDArray[np.uint8], int]:
    """Decode n strings of one hash type, in hexadecimal or, for PhotoDNA, base64.

    For the arguments see `decode_spans`.

    Returns:
        digests uint8[n, width]; status uint8[n]; and how many strings are not hashes.
    """
    digests = np.empty((len(starts), hash_type.width), np.uint8)
    status = np.empty(len(starts), np.uint8)
    bad = decode_spans(as_writable(buffer), starts, lengths, digests.view(np.uint32), status)
    if bad and hash_type.base64_characters is not None:
        for row in np.flatnonzero((status != OK) & (lengths == hash_type.base64_characters)).tolist():
            digest = decode_base64(hash_type, buffer[starts[row] : starts[row] + lengths[row]].tobytes())
            if digest is not None:
                digests[row], status[row] = np.frombuffer(digest, np.uint8), OK
                bad -= 1
    return digests, status, int(bad)


def decode_base64(hash_type: HashType, text: bytes | str) -> bytes | None:
    """Decode one string in standard base64 (RFC 4648, section 4); None if it is not a hash."""
    if len(text) != hash_type.base64_characters:
        return None
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == hash_type.width else None  # with padding, the same length holds fewer bytes


def decode_one(hash_type: HashType, text: bytes) -> bytes:
    """Decode one string of a hash type, without the arrays that `decode_hex` needs.

    Raises:
        ValueError: it is not a hash of this type; the message does not repeat it.
    """
    if len(text) == hash_type.hex_digits:
        try:
            return binascii.unhexlify(text)
        except ValueError:
            pass
    decoded = decode_base64(hash_type, text)
    if decoded is not None:
        return decoded
    raise ValueError(explain_invalid(hash_type, text))


def explain_invalid(hash_type: HashType, text: bytes | str) -> str:
    """Say why a string is not a hash of this type, without repeating it.

    Raises:
        ValueError: it is one.
    """
    if len(text) == hash_type.base64_characters and decode_base64(hash_type, text) is None:
        return f"the {len(text)} characters are not base64 of {hash_type.width} bytes"
    if len(text) != hash_type.hex_digits and len(text) != hash_type.base64_characters:
        either = f" or {hash_type.base64_characters} characters of base64" if hash_type.base64_characters else ""
        return f"expected {hash_type.hex_digits} hexadecimal digits{either}, got {len(text)}"
    if len(text) == hash_type.base64_characters:
        raise ValueError("the text is a valid hash")
    characters = text if isinstance(text, str) else text.decode("latin-1")
    for position, character in enumerate(characters):
        if character not in "0123456789abcdefABCDEF":
            return f"character {position + 1} is not a hexadecimal digit"
    raise ValueError("the text is a valid hash")
