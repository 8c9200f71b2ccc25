"""Text bodies: one hash a line."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.memory import as_writable
from hashcore.hashtypes import HashType
from hashcore.text.hexcodec import OK, decode_hex, explain_invalid
from hashserver.server.bodies.request import Asked, CheckRequest, InvalidHash, check_count
from hashserver.server.problems import RequestLimits

_LF = 0x0A


@nb.njit(cache=True, nogil=True)
def _trimmed_lines(
    text: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], lines: NDArray[np.int64]
) -> int:
    """Find the lines that are not blank, without the white space around them; returns how many."""
    size = text.shape[0]
    at, line, found = 0, 0, 0
    while at < size:
        stop = at
        while stop < size and text[stop] != _LF:
            stop += 1
        first, last = at, stop
        while first < last and (text[first] == 0x20 or text[first] == 0x09 or text[first] == 0x0D):
            first += 1
        while last > first and (text[last - 1] == 0x20 or text[last - 1] == 0x09 or text[last - 1] == 0x0D):
            last -= 1
        if last > first:
            if found < starts.shape[0]:
                starts[found], lengths[found], lines[found] = first, last - first, line
            found += 1
        at = stop + 1
        line += 1
    return found


def parse_text(body: bytes | bytearray, hash_type: HashType, limits: RequestLimits) -> CheckRequest:
    """Read one hash a line; LF or CRLF. Blank lines are skipped, but count in the index.

    Raises:
        Problem: 413 when there are too many.
    """
    text = as_writable(np.frombuffer(body, np.uint8))
    capacity = len(text) // (hash_type.hex_digits + 1) + 1
    while True:
        starts, lengths, lines = (np.empty(capacity, np.int64) for _ in range(3))
        found = int(_trimmed_lines(text, starts, lengths, lines))
        check_count(found, limits)
        if found <= capacity:
            break
        capacity = found
    starts, lengths, lines = starts[:found], lengths[:found], lines[:found]
    digests, status, wrong = decode_hex(hash_type, text, starts, lengths)
    if not wrong:
        index = None if not found or int(lines[-1]) == found - 1 else lines
        return CheckRequest([Asked(hash_type, digests, index)])
    invalid = []
    for bad in np.flatnonzero(status != OK).tolist():
        line = bytes(body[starts[bad] : starts[bad] + lengths[bad]])
        invalid.append(InvalidHash(hash_type.name, int(lines[bad]), explain_invalid(hash_type, line)))
    good = status == OK
    return CheckRequest([Asked(hash_type, digests[good], lines[good])], invalid)
