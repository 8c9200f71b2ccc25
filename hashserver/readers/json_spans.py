"""Where the elements of a JSON array begin and end: compiled, by strings and brackets alone."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

QUOTE, BACKSLASH, COMMA = 0x22, 0x5C, 0x2C
OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY = 0x7B, 0x7D, 0x5B, 0x5D

# What the scanner of an array expects next.
FIRST, VALUE, SEPARATOR = 0, 1, 2
# Why it stopped.
NEEDS_MORE, CLOSED, FULL, WRONG = 0, 1, 2, 3
# Where in a value it is.
PLAIN, IN_STRING, ESCAPED, IN_SCALAR, DONE = 0, 1, 2, 3, 4


@nb.njit(cache=True, nogil=True, inline="always")
def _is_space(character: np.uint8) -> bool:
    return bool(character == 0x20 or character == 0x0A or character == 0x0D or character == 0x09)


@nb.njit(cache=True, nogil=True)
def end_of_value(text: NDArray[np.uint8], at: int, state: NDArray[np.int64]) -> int:
    """Pass over one JSON value, or over as much of it as there is.

    Brackets are counted, not paired; that is left to the parser.

    Args:
        text: uint8[size].
        at: where the value begins or goes on.
        state: int64[2], where in the value it is and the depth there; zeros at its beginning.

    Returns:
        Where the value ends, state[0] being DONE then; else size. O(size).
    """
    size = text.shape[0]
    mode, depth = state[0], state[1]
    while at < size and mode != DONE:
        character = text[at]
        if mode == IN_STRING:
            while character != QUOTE and character != BACKSLASH:
                at += 1
                if at == size:
                    break
                character = text[at]
            if at == size:
                break
            mode = ESCAPED if character == BACKSLASH else PLAIN if depth > 0 else DONE
        elif mode == ESCAPED:
            mode = IN_STRING
        elif mode == IN_SCALAR:
            if _is_space(character) or character in (COMMA, CLOSE_ARRAY, CLOSE_OBJECT):
                mode = DONE
                break
        elif character == QUOTE:
            mode = IN_STRING
        elif character in (OPEN_OBJECT, OPEN_ARRAY):
            depth += 1
        elif character in (CLOSE_OBJECT, CLOSE_ARRAY):
            depth -= 1
            if depth <= 0:
                mode = DONE
        elif depth == 0:
            mode = IN_SCALAR
        at += 1
    state[0], state[1] = mode, depth
    return at


@nb.njit(cache=True, nogil=True)
def scan_items(
    text: NDArray[np.uint8],
    at: int,
    expects: int,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Find the whole elements of an array, whatever they are.

    Args:
        text: uint8[size].
        at: where to go on, within the array and outside its elements.
        expects: FIRST, VALUE or SEPARATOR.
        starts, stops: int64[room], receive the span of each element.

    Returns:
        Elements found; where the next thing begins (an element that is not whole, or what is
        wrong); what is expected there; and why the scan stopped. O(size).
    """
    size = text.shape[0]
    found = 0
    state = np.zeros(2, np.int64)
    while True:
        while at < size and _is_space(text[at]):
            at += 1
        if at == size:
            return found, at, expects, NEEDS_MORE
        character = text[at]
        if character == CLOSE_ARRAY and expects != VALUE:
            return found, at + 1, expects, CLOSED
        if expects == SEPARATOR:
            if character != COMMA:
                return found, at, expects, WRONG
            at += 1
            expects = VALUE
            continue
        if character in (COMMA, CLOSE_ARRAY, CLOSE_OBJECT):
            return found, at, expects, WRONG
        if found == starts.shape[0]:
            return found, at, expects, FULL
        state[:] = 0
        stop = end_of_value(text, at, state)
        if state[0] != DONE:
            return found, at, expects, NEEDS_MORE
        starts[found], stops[found] = at, stop
        found += 1
        at = stop
        expects = SEPARATOR
