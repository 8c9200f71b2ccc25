"""A compiled scan over the items of NCMEC's XML that are written plainly, as nearly all are.

Plain is an item in printable ASCII of nested elements, with nothing in it that takes more than a look at one
byte after the other: no entity, comment, CDATA section or processing instruction, no prefix or namespace, no
"]", each tag on one line with single spaces. Whatever else there is, however sound, is left to the parser.
"""

from __future__ import annotations

import re

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashserver.readers.ncmec_items import (
    FIELDS,
    FIRST_FINGERPRINT,
    FIRST_WITHDRAWAL,
    KINDS,
    LONGEST_TEXT,
    Items,
)

DEEPEST_PLAIN = 12
"""Elements nested in each other, the item counted."""

OTHER, NEEDS_MORE, FULL, WITHDRAWN = range(4)
"""Why a scan stopped: at something that is not a plain item, at one of which the end is not there yet, for want
of room, or after an item that is withdrawn."""

_PLAIN_ITEM = re.compile(rb"<(?:" + "|".join(KINDS).encode() + rb")[ >]")

_LT, _GT, _SLASH, _QUOTE, _EQUALS, _SPACE, _LF, _CR = b'<>/"= \n\r'
_MOST_ATTRIBUTES = 8
_NOWHERE = -1
_UNFINISHED = -2


def _names(names: tuple[str, ...]) -> NDArray[np.uint8]:
    """uint8[n, longest + 1], names padded with zeros."""
    table = np.zeros((len(names), max(map(len, names)) + 1), np.uint8)
    for row, name in enumerate(names):
        table[row, : len(name)] = np.frombuffer(name.encode(), np.uint8)
    return table


def _characters(plain: bytes) -> NDArray[np.bool_]:
    """bool[256]"""
    allowed = np.zeros(256, np.bool_)
    allowed[list(plain)] = True
    return allowed


_KIND_NAMES, _FIELD_NAMES = _names(KINDS), _names(FIELDS)
_FINGERPRINTS_NAME = _names(("fingerprints",))
_PRINTABLE = bytes(range(0x20, 0x7F))
_LETTERS = _characters(bytes(c for c in _PRINTABLE if chr(c).isalpha()))
_NAME = _characters(bytes(c for c in _PRINTABLE if chr(c).isalnum()))
_IN_TEXT = _characters(bytes(set(_PRINTABLE + b"\t") - set(b"<&]")))
_IN_QUOTES = _characters(bytes(set(_PRINTABLE) - set(b'<&"')))


@nb.njit(cache=True, nogil=True)
def _find(text: NDArray[np.uint8], start: int, stop: int, names: NDArray[np.uint8], first: int) -> int:
    """The row of a name in a table, from row `first` on, or -1."""
    size = stop - start
    if size >= names.shape[1]:
        return -1
    for row in range(first, names.shape[0]):
        if names[row, size] != 0:
            continue
        same = 0
        while same < size and names[row, same] == text[start + same]:
            same += 1
        if same == size:
            return row
    return -1


@nb.njit(cache=True, nogil=True)
def _name_end(text: NDArray[np.uint8], at: int) -> int:
    """Where a plain name ends; `at` when there is none, and the end of the text when it may go on."""
    size = text.shape[0]
    if at < size and not _LETTERS[text[at]]:
        return at
    while at < size and _NAME[text[at]]:
        at += 1
    return at


@nb.njit(cache=True, nogil=True)
def _same(text: NDArray[np.uint8], one: int, other: int, size: int) -> bool:
    i = 0
    while i < size and text[one + i] == text[other + i]:
        i += 1
    return i == size


@nb.njit(cache=True, nogil=True)
def _attributes_end(text: NDArray[np.uint8], at: int, spans: NDArray[np.int64]) -> int:
    """Pass over the attributes of a tag; returns where they end, _NOWHERE or _UNFINISHED.

    An attribute that stands twice makes a document unsound, and one that begins with xml means something.
    """
    size = text.shape[0]
    count = 0
    while at < size and text[at] == _SPACE:
        start = at + 1
        stop = _name_end(text, start)
        if stop + 1 >= size:
            return _UNFINISHED
        reserved = stop - start >= 3 and text[start] == 120 and text[start + 1] == 109 and text[start + 2] == 108
        if stop == start or reserved or text[stop] != _EQUALS or text[stop + 1] != _QUOTE:
            return _NOWHERE
        if count == _MOST_ATTRIBUTES:
            return _NOWHERE
        for i in range(count):
            length = spans[i, 1] - spans[i, 0]
            if length == stop - start and _same(text, spans[i, 0], start, length):
                return _NOWHERE
        spans[count, 0], spans[count, 1] = start, stop
        count += 1
        at = stop + 2
        while at < size and _IN_QUOTES[text[at]]:
            at += 1
        if at < size and text[at] != _QUOTE:
            return _NOWHERE
        at += 1
    return at if at < size else _UNFINISHED


@nb.njit(cache=True, nogil=True)
def _keep(
    text: NDArray[np.uint8],
    start: int,
    stop: int,
    column: int,
    row: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    values: NDArray[np.uint8],
    values_size: int,
) -> int:
    """Keep the text of an element without the white space around it; returns the new size of `values`, or -1."""
    if stop - start > LONGEST_TEXT or lengths[column, row] >= 0:
        return -1
    while start < stop and text[start] <= _SPACE:
        start += 1
    while stop > start and text[stop - 1] <= _SPACE:
        stop -= 1
    if start == stop and column >= FIRST_FINGERPRINT:
        return -1
    for i in range(start, stop):
        if text[i] < _SPACE:
            return -1
        values[values_size + i - start] = text[i]
    starts[column, row], lengths[column, row] = values_size, stop - start
    return values_size + stop - start


@nb.njit(cache=True, nogil=True)
def _text_end(text: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Pass over plain text; returns where it ends and the lines that end in it."""
    size = text.shape[0]
    lines = 0
    while at < size:
        character = text[at]
        if character == _LF:
            lines += 1
        elif character == _CR:
            if at + 1 == size or text[at + 1] != _LF:
                break
        elif not _IN_TEXT[character]:
            break
        at += 1
    return at, lines


@nb.njit(cache=True, nogil=True)
def _take_item(
    text: NDArray[np.uint8],
    at: int,
    kind_names: NDArray[np.uint8],
    fingerprints_name: NDArray[np.uint8],
    field_names: NDArray[np.uint8],
    row: int,
    kinds: NDArray[np.int8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    values: NDArray[np.uint8],
    values_size: int,
    tags: NDArray[np.int64],
    spans: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Read an item; returns its end, _NOWHERE or _UNFINISHED; its lines; the new size of `values`."""
    size = text.shape[0]
    lines = depth = 0
    in_fingerprints = False
    column, column_start = -1, 0
    lengths[:, row] = -1
    while at < size:
        if text[at] != _LT:
            cut_off = text[at] == _CR and at + 1 == size
            return (_UNFINISHED if cut_off else _NOWHERE), 0, 0
        if depth and at + 1 < size and text[at + 1] == _SLASH:
            start, length = tags[depth - 1, 0], tags[depth - 1, 1] - tags[depth - 1, 0]
            if at + 2 + length >= size:
                return _UNFINISHED, 0, 0
            if not _same(text, start, at + 2, length) or text[at + 2 + length] != _GT:
                return _NOWHERE, 0, 0
            if column >= 0:
                values_size = _keep(text, column_start, at, column, row, starts, lengths, values, values_size)
                if values_size < 0:
                    return _NOWHERE, 0, 0
                column = -1
            depth -= 1
            at += 3 + length
            if depth == 0:
                return at, lines, values_size
            if depth == 1:
                in_fingerprints = False
        else:
            start = at + 1
            stop = _name_end(text, start)
            if stop >= size:
                return _UNFINISHED, 0, 0
            if stop == start or column >= 0 or depth == DEEPEST_PLAIN:
                return _NOWHERE, 0, 0
            at = _attributes_end(text, stop, spans)
            if at < 0 or at + 1 >= size:
                return (at if at == _NOWHERE else _UNFINISHED), 0, 0
            empty = text[at] == _SLASH
            if text[at + empty] != _GT:
                return _NOWHERE, 0, 0
            at += 1 + empty
            if depth == 0:
                kinds[row] = _find(text, start, stop, kind_names, 0)
                if kinds[row] < 0 or empty:
                    return _NOWHERE, 0, 0
            elif depth == 1:
                column = _find(text, start, stop, field_names, 0)
                if column >= FIRST_FINGERPRINT:
                    column = -1
                in_fingerprints = not empty and _find(text, start, stop, fingerprints_name, 0) == 0
            elif depth == 2 and in_fingerprints:
                column = _find(text, start, stop, field_names, FIRST_FINGERPRINT)
            if empty and column >= 0:
                return _NOWHERE, 0, 0
            if not empty:
                tags[depth, 0], tags[depth, 1] = start, stop
                depth += 1
            column_start = at
        at, ended = _text_end(text, at)
        lines += ended
    return _UNFINISHED, 0, 0


@nb.njit(cache=True, nogil=True)
def scan_items(
    text: NDArray[np.uint8],
    at: int,
    line: int,
    names: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    first: int,
    last: int,
    kinds: NDArray[np.int8],
    all_lines: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    values: NDArray[np.uint8],
    values_size: int,
) -> tuple[int, int, int, int, int]:
    """Read plain items, one after the other with nothing but white space between them.

    Args:
        text: uint8[size].
        at, line: where to begin, outside of every tag, and the number of that line.
        names: of the kinds, of `fingerprints`, and of the fields.
        first, last: the rows to fill.
        kinds, all_lines, starts, lengths, values, values_size: see `Items`.

    Returns:
        The row after the last that was filled; where the next thing begins that is not white space; its line;
        the new size of `values`; and why the scan stopped. O(size).
    """
    kind_names, fingerprints_name, field_names = names
    tags = np.empty((DEEPEST_PLAIN, 2), np.int64)
    spans = np.empty((_MOST_ATTRIBUTES, 2), np.int64)
    most_of_one = 4 * LONGEST_TEXT * field_names.shape[0]
    row = first
    while True:
        begin, ended = _text_end(text, at)
        for i in range(at, begin):
            if text[i] > _SPACE:
                return row, at, line, values_size, OTHER
        at, line = begin, line + ended
        if at == text.shape[0]:
            return row, at, line, values_size, NEEDS_MORE
        if row == last or values.shape[0] - values_size < most_of_one:
            return row, at, line, values_size, FULL
        stop, ended, size = _take_item(
            text, at, kind_names, fingerprints_name, field_names, row, kinds, starts, lengths, values, values_size,
            tags, spans,
        )  # fmt: skip
        if stop < 0:
            return row, at, line, values_size, NEEDS_MORE if stop == _UNFINISHED else OTHER
        all_lines[row] = line
        at, line, values_size = stop, line + ended, size
        row += 1
        if kinds[row - 1] >= FIRST_WITHDRAWAL:
            if lengths[0, row - 1] <= 0:
                return row - 1, begin, all_lines[row - 1], values_size, OTHER
            return row, at, line, values_size, WITHDRAWN


def take_items(text: NDArray[np.uint8], at: int, line: int, items: Items, most: int) -> tuple[int, int, int]:
    """Add up to `most` plain items that stand at some place; see `scan_items`.

    Returns:
        Where the next thing begins; its line; and why the scan stopped.
    """
    names = (_KIND_NAMES, _FINGERPRINTS_NAME, _FIELD_NAMES)
    items.count, at, line, items.text_size, stopped = scan_items(
        text, at, line, names, items.count, items.count + most, items.kinds, items.lines, items.starts,
        items.lengths, items.text, items.text_size,
    )  # fmt: skip
    return at, line, stopped


def next_candidate(text: bytearray, at: int) -> int:
    """Where the next item may begin, or the end of the text."""
    found = _PLAIN_ITEM.search(text, at)
    return found.start() if found else len(text)


def blank(text: bytearray, start: int, stop: int, lines: int) -> bytes:
    """White space that leaves a parser at the same line and column as the text that it stands for."""
    if not lines:
        return b" " * (stop - start)
    return b"\n" * lines + b" " * (stop - text.rfind(b"\n", start, stop) - 1)
