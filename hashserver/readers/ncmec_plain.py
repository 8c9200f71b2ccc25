"""A compiled scan over the items of NCMEC's XML that are written plainly, as nearly all are.

Plain is an item in printable ASCII of nested elements, with nothing in it that takes more than a
look at one byte after the other: no entity, comment, CDATA section or processing instruction, no
prefix or namespace, no "]", each tag on one line with single spaces. Whatever else there is,
however sound, is left to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashserver.readers.ncmec_items import (
    FIELDS,
    FIRST_FINGERPRINT,
    FIRST_WITHDRAWAL,
    KINDS,
    LONGEST_TEXT,
    GatheredItems,
    ItemColumns,
)

DEEPEST_PLAIN = 12
"""Elements nested in each other, the item counted."""

OTHER, NEEDS_MORE, FULL, WITHDRAWN = range(4)
"""Why a scan stopped: at something that is not a plain item, at an item whose end is still to come,
because the columns are full, or after an item that is withdrawn."""

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


class Names(NamedTuple):
    """The names of elements that mean something, each uint8[n, longest + 1].

    They are handed to the kernels, whose compiled form would otherwise keep those of another
    registry of types.
    """

    kinds: NDArray[np.uint8]
    fingerprints: NDArray[np.uint8]
    fields: NDArray[np.uint8]


_NAMES = Names(_names(KINDS), _names(("fingerprints",)), _names(FIELDS))
_PRINTABLE = bytes(range(0x20, 0x7F))
_LETTERS = _characters(bytes(c for c in _PRINTABLE if chr(c).isalpha()))
_IN_NAME = _characters(bytes(c for c in _PRINTABLE if chr(c).isalnum()))
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
    """Where a plain name ends; `at` if none is there, the end of the text if it may go on."""
    size = text.shape[0]
    if at < size and not _LETTERS[text[at]]:
        return at
    while at < size and _IN_NAME[text[at]]:
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

    An attribute that stands twice makes a document unsound, and one that begins with xml means
    something.
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
def _keep_value(
    text: NDArray[np.uint8], start: int, stop: int, column: int, row: int, columns: ItemColumns, at: int
) -> int:
    """Keep the text of an element at some place of the values, without the white space around it.

    Returns:
        Where the next value goes, or _NOWHERE when the text is not plain.
    """
    if stop - start > LONGEST_TEXT or columns.lengths[column, row] >= 0:
        return _NOWHERE
    while start < stop and text[start] <= _SPACE:
        start += 1
    while stop > start and text[stop - 1] <= _SPACE:
        stop -= 1
    for i in range(start, stop):
        if text[i] < _SPACE:
            return _NOWHERE
        columns.text[at + i - start] = text[i]
    columns.starts[column, row], columns.lengths[column, row] = at, stop - start
    return at + stop - start


@nb.njit(cache=True, nogil=True)
def _text_end(text: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Pass over plain text; returns where it ends and the lines that end in it."""
    size = text.shape[0]
    lines = 0
    while True:
        while at < size and _IN_TEXT[text[at]]:
            at += 1
        if at < size and text[at] == _LF:
            lines += 1
        elif at + 1 >= size or text[at] != _CR or text[at + 1] != _LF:
            return at, lines
        at += 1


@nb.njit(cache=True, nogil=True)
def _end_tag_end(text: NDArray[np.uint8], at: int, start: int, length: int) -> int:
    """Pass over the end tag of an element by its name; returns where it ends, or a code."""
    stop = at + 2 + length
    if stop >= text.shape[0]:
        return _UNFINISHED
    same = _same(text, start, at + 2, length) and text[stop] == _GT
    return stop + 1 if same else _NOWHERE


@nb.njit(cache=True, nogil=True)
def _start_tag_end(text: NDArray[np.uint8], at: int, spans: NDArray[np.int64]) -> tuple[int, int]:
    """Pass over a start tag or empty element; returns where its name and it end, or a code."""
    size = text.shape[0]
    name_end = _name_end(text, at + 1)
    if name_end >= size:
        return name_end, _UNFINISHED
    if name_end == at + 1:
        return name_end, _NOWHERE
    at = _attributes_end(text, name_end, spans)
    if at < 0:
        return name_end, at
    at += text[at] == _SLASH
    if at >= size:
        return name_end, _UNFINISHED
    return name_end, at + 1 if text[at] == _GT else _NOWHERE


@nb.njit(cache=True, nogil=True)
def _column_of(
    text: NDArray[np.uint8], start: int, stop: int, depth: int, in_fingerprints: bool, fields: NDArray[np.uint8]
) -> int:
    """The column that an element belongs to by its name and place, or -1."""
    if depth == 1:
        column = _find(text, start, stop, fields, 0)
        return column if column < FIRST_FINGERPRINT else -1
    if depth == 2 and in_fingerprints:
        return _find(text, start, stop, fields, FIRST_FINGERPRINT)
    return -1


@nb.njit(cache=True, nogil=True)
def _scan_item(
    text: NDArray[np.uint8],
    at: int,
    names: Names,
    columns: ItemColumns,
    row: int,
    values_size: int,
    room: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[int, int, int]:
    """Read the item that begins at a place into a row.

    Returns:
        Where it ends, _NOWHERE (it is not plain) or _UNFINISHED; the lines in it; the new size of
        the values.
    """
    tags, spans = room  # of names: of the elements that are open, and of the attributes of one tag
    size = text.shape[0]
    lines = depth = 0
    in_fingerprints = False
    column, column_start = -1, 0
    columns.lengths[:, row] = -1
    while at < size:
        if text[at] != _LT:
            cut_off = text[at] == _CR and at + 1 == size
            return _UNFINISHED if cut_off else _NOWHERE, 0, 0
        begin = at
        if depth and at + 1 < size and text[at + 1] == _SLASH:
            depth -= 1
            at = _end_tag_end(text, begin, tags[depth, 0], tags[depth, 1])
            if at >= 0 and column >= 0:
                values_size = _keep_value(text, column_start, begin, column, row, columns, values_size)
                at = at if values_size >= 0 else _NOWHERE
                column = -1
            if at < 0 or depth == 0:
                return at, lines, values_size
        else:
            stop, at = _start_tag_end(text, begin, spans)
            if at < 0 or column >= 0 or depth == DEEPEST_PLAIN:
                return at if at == _UNFINISHED else _NOWHERE, 0, 0
            empty = text[at - 2] == _SLASH
            if depth == 0:
                columns.kinds[row] = _find(text, begin + 1, stop, names.kinds, 0)
            elif depth == 1:
                in_fingerprints = _find(text, begin + 1, stop, names.fingerprints, 0) == 0
            column, column_start = _column_of(text, begin + 1, stop, depth, in_fingerprints, names.fields), at
            if (empty and (column >= 0 or depth == 0)) or columns.kinds[row] < 0:
                return _NOWHERE, 0, 0
            if not empty:
                tags[depth, 0], tags[depth, 1] = begin + 1, stop - begin - 1
                depth += 1
        at, ended = _text_end(text, at)
        lines += ended
    return _UNFINISHED, 0, 0


@nb.njit(cache=True, nogil=True)
def scan_plain_items(
    text: NDArray[np.uint8],
    at: int,
    line: int,
    names: Names,
    columns: ItemColumns,
    rows: tuple[int, int],
    values_size: int,
) -> tuple[int, int, int, int, int]:
    """Read plain items, one after the other with nothing but white space between them.

    Args:
        text: uint8[size].
        at, line: where to begin, outside of every tag, and the number of that line.
        names: see `Names`.
        columns, values_size: what to fill, and how much of its text is in use; see `GatheredItems`.
        rows: the first to fill, and the one after the last.

    Returns:
        The row after the last that was filled; where the next thing begins that is not white space;
        its line; the new size of the values; and why the scan stopped. O(size).
    """
    room = (np.empty((DEEPEST_PLAIN, 2), np.int64), np.empty((_MOST_ATTRIBUTES, 2), np.int64))
    most_of_one = 4 * LONGEST_TEXT * names.fields.shape[0]
    row, last = rows
    while True:
        begin, ended = _text_end(text, at)
        for i in range(at, begin):
            if text[i] > _SPACE:
                return row, at, line, values_size, OTHER
        at, line = begin, line + ended
        if at == text.shape[0]:
            return row, at, line, values_size, NEEDS_MORE
        if row == last or columns.text.shape[0] - values_size < most_of_one:
            return row, at, line, values_size, FULL
        stop, ended, size = _scan_item(text, at, names, columns, row, values_size, room)
        if stop < 0:
            return row, at, line, values_size, NEEDS_MORE if stop == _UNFINISHED else OTHER
        withdrawn = columns.kinds[row] >= FIRST_WITHDRAWAL
        if withdrawn and columns.lengths[0, row] <= 0:
            return row, at, line, values_size, OTHER
        columns.lines[row] = line
        row, at, line, values_size = row + 1, stop, line + ended, size
        if withdrawn:
            return row, at, line, values_size, WITHDRAWN


def take_items(
    text: NDArray[np.uint8], at: int, line: int, items: GatheredItems, most: int
) -> tuple[int, int, int]:
    """Add up to `most` plain items that stand at some place; see `scan_plain_items`.

    Returns:
        Where the next thing begins; its line; and why the scan stopped.
    """
    rows = (items.count, items.count + most)
    items.count, at, line, items.text_size, stopped = scan_plain_items(
        text, at, line, _NAMES, items.columns, rows, items.text_size
    )
    return at, line, stopped


def next_candidate(text: bytearray, at: int) -> int:
    """Where the next item may begin, or the end of the text."""
    found = _PLAIN_ITEM.search(text, at)
    return found.start() if found else len(text)


def blank(text: bytearray, start: int, stop: int, lines: int) -> bytes:
    """White space that brings a parser to the same line and column as the text it replaces."""
    if not lines:
        return b" " * (stop - start)
    return b"\n" * lines + b" " * (stop - text.rfind(b"\n", start, stop) - 1)
