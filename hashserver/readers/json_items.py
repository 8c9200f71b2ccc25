"""The items of a JSON document of any size: the elements of an array in it, block by block.

A compiled scanner that knows strings and brackets finds where each item begins and ends; what is in
it is for a JSON parser to say. An item that is wrong is rejected; a document in which the items
cannot be found is a `ReadError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from hashcore.rows import Reject
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.cells import MOST_REJECT_BYTES
from hashserver.readers.errors import ReadError
from hashserver.readers.json_spans import (
    CLOSE_ARRAY,
    CLOSE_OBJECT,
    CLOSED,
    COMMA,
    DONE,
    FIRST,
    FULL,
    IN_SCALAR,
    NEEDS_MORE,
    OPEN_ARRAY,
    OPEN_OBJECT,
    QUOTE,
    SEPARATOR,
    WRONG,
    end_of_value,
    scan_items,
)
from hashserver.readers.source import Source

LONGEST_ITEM = 16 << 20
"""Bytes of an item; a longer one is rejected without being held."""

Path = tuple[str, ...]
"""Where an array is: member names from the outside in, through whatever arrays lie between. () is a
document that is an array itself, ("value",) is {"value": [...]}, ("value", "Media") is
{"value": [{"Media": [...]}, ...]}."""

_MOST_ITEMS = 8192  # in a block, so that the objects parsed from it stay few
_LONGEST_NAME = 1 << 16
_DEEPEST = 32
_NAME = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_MEMBER = re.compile(rb'\s*+("(?:[^"\\]|\\.)*+")\s*+:\s*+("(?:[^"\\]|\\.)*+"|[-+.\w]++)\s*+(?=[,}])', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_END = -1  # where a byte would be


@dataclass(frozen=True, slots=True)
class JsonItems:
    """Some items in the order of the document.

    Args:
        text: what they were cut from.
        starts, stops: int64[n], the span of each in it.
        first: the number of the first, counted through the document from 1.
        offset: bytes of the document before `text`.
    """

    text: bytes
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    first: int
    offset: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """int64[n], the number of each."""
        return np.arange(self.first, self.first + len(self), dtype=np.int64)

    def raw(self, index: int) -> bytes:
        """One item as it stands."""
        return self.text[self.starts[index] : self.stops[index]]

    def parse(self) -> tuple[list[Any], dict[int, str]]:
        """The items as Python objects; None and a reason for those that are not objects."""
        spans = zip(self.starts.tolist(), self.stops.tolist(), strict=True)
        texts = [self.text[start:stop] for start, stop in spans]
        try:
            values = orjson.loads(b"[" + b",".join(texts) + b"]")
        except orjson.JSONDecodeError:
            values = None
        if values is not None and all(type(value) is dict for value in values):
            return values, {}
        values, broken = [], {}
        for index, text in enumerate(texts):
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                value, broken[index] = None, f"not JSON: {error}; it begins at byte {self._byte(index):,}"
            else:
                if not isinstance(value, dict):
                    value, broken[index] = None, f"not a JSON object; it begins at byte {self._byte(index):,}"
            values.append(value)
        return values, broken

    def _byte(self, index: int) -> int:
        """Where an item begins, counted from 1."""
        return self.offset + int(self.starts[index]) + 1


def read_head(sample: bytes) -> dict[str, Any]:
    """The first members of a document's object, up to one that holds an array or object."""
    at = re.compile(rb"(?:\xef\xbb\xbf)?\s*+\{").match(sample)
    head: dict[str, Any] = {}
    end = at.end() if at else len(sample)
    while match := _MEMBER.match(sample, end):
        try:
            head[orjson.loads(match[1])] = orjson.loads(match[2])
        except orjson.JSONDecodeError:
            break
        end = match.end() + 1
    return head


def read_items(
    source: Source,
    paths: Collection[Path],
    *,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[JsonItems]:
    """Cut the items of a document out. Several documents may follow one another.

    Args:
        source: of the document; see `read_head` for what it begins with.
        paths: the arrays whose elements are the items.
        on_reject: called with items longer than `LONGEST_ITEM`; the line is the item's number.
        block_bytes: how much to hold at a time.

    Raises:
        ReadError: the document is not JSON, ends early, or has no array there; with line and byte.
    """
    yield from _Scanner(source, on_reject, block_bytes).read(paths)


class _Scanner:
    """Walks through a document, a block of text at a time."""

    def __init__(self, source: Source, on_reject: Callable[[Reject], None], block_bytes: int) -> None:
        self._source, self._on_reject, self._block_bytes = source, on_reject, block_bytes
        self._longest = min(LONGEST_ITEM, max(block_bytes * 4, 1024))
        self._text, self._at = b"", 0
        self._array = np.zeros(0, np.uint8)
        self._ended = False
        self._offset, self._lines = 0, 0
        self._number = 1
        self._starts, self._stops = np.empty(_MOST_ITEMS, np.int64), np.empty(_MOST_ITEMS, np.int64)
        self._held = 0
        self._ready: list[JsonItems] = []
        self._arrays = 0

    def read(self, paths: Collection[Path]) -> Iterator[JsonItems]:
        if self._source.head.is_utf16:
            raise ReadError(
                f"{self._source.name}: this is UTF-16; convert it to UTF-8 first, for instance "
                "with iconv -f UTF-16 -t UTF-8"
            )
        self._offset = self._source.skip_byte_order_mark()
        places = " or ".join(sorted(map(_written, paths)))
        while (opening := self._next()) != _END:
            if opening not in (OPEN_OBJECT, OPEN_ARRAY):
                self._fail("expected { or [; is this JSON, and the format right?")
            for _ in self._value(frozenset(paths), 0):
                yield from self._take()
        self._hand_over()
        yield from self._take()
        if not self._arrays:
            raise ReadError(f"{self._source.name}: there is no array at {places}; is the format right?")

    def _take(self) -> Iterator[JsonItems]:
        ready, self._ready = self._ready, []
        yield from ready

    def _value(self, paths: frozenset[Path], depth: int) -> Iterator[None]:
        """Go through one value in which there may be items, yielding now and then."""
        if depth > _DEEPEST:
            self._fail(f"nested deeper than {_DEEPEST}")
        opening = self._next()
        inner = frozenset(path for path in paths if path)
        if opening == OPEN_ARRAY and len(inner) < len(paths):
            yield from self._items()
        elif opening == OPEN_ARRAY and inner:
            yield from self._elements(inner, depth)
        elif opening == OPEN_OBJECT and inner:
            yield from self._members(inner, depth)
        elif self._text[self._at : self._at + 1] == b"n" or inner:
            self._skip()
        else:
            self._fail("expected an array here, or null")

    def _members(self, paths: frozenset[Path], depth: int) -> Iterator[None]:
        self._at += 1
        if self._next() == CLOSE_OBJECT:
            self._at += 1
            return
        while True:
            name = self._name()
            if self._next() != ord(":"):
                self._fail("expected a colon")
            self._at += 1
            if self._next() in (_END, COMMA, CLOSE_OBJECT, CLOSE_ARRAY, ord(":")):
                self._fail("expected a value")
            within = frozenset(path[1:] for path in paths if path[0] == name)
            if within:
                yield from self._value(within, depth + 1)
            else:
                self._skip()
            if self._ends_after_separator(CLOSE_OBJECT, "}"):
                return

    def _elements(self, paths: frozenset[Path], depth: int) -> Iterator[None]:
        self._at += 1
        if self._next() == CLOSE_ARRAY:
            self._at += 1
            return
        while True:
            if self._next() in (_END, COMMA, CLOSE_OBJECT, CLOSE_ARRAY):
                self._fail("expected a value")
            yield from self._value(paths, depth + 1)
            if self._ends_after_separator(CLOSE_ARRAY, "]"):
                return

    def _ends_after_separator(self, closing: int, written: str) -> bool:
        following = self._next()
        if following not in (COMMA, closing):
            self._fail(f"expected a comma or {written}")
        self._at += 1
        return following == closing

    def _items(self) -> Iterator[None]:
        """Find the items of one array."""
        self._arrays += 1
        self._at += 1
        expects, stopped = FIRST, NEEDS_MORE
        while stopped != CLOSED:
            room = slice(self._held, None)
            found, self._at, expects, stopped = scan_items(
                self._array, self._at, expects, self._starts[room], self._stops[room]
            )
            self._held += found
            if stopped == WRONG:
                self._fail("expected a comma or ]" if expects == SEPARATOR else "expected a value")
            if stopped == FULL:
                self._hand_over()
            elif stopped == NEEDS_MORE:
                if len(self._text) - self._at >= self._longest:
                    self._reject_item()
                    expects = SEPARATOR
                elif not self._fill():
                    self._fail(
                        f"the document ends within the array, at item {self._number:,}; is the file complete?"
                    )
            yield

    def _hand_over(self) -> None:
        """Make the items found so far ready."""
        if self._held:
            starts, stops = self._starts[: self._held].copy(), self._stops[: self._held].copy()
            self._ready.append(JsonItems(self._text, starts, stops, self._number, self._offset))
            self._number += self._held
            self._held = 0

    def _reject_item(self) -> None:
        """Pass over an item that is too long."""
        self._hand_over()
        beginning = self._text[self._at : self._at + MOST_REJECT_BYTES]
        byte = self._offset + self._at + 1
        reason = f"longer than {self._longest:,} bytes; it begins at byte {byte:,}; is the format right?"
        number, self._number = self._number, self._number + 1
        self._skip()
        self._on_reject(Reject(number, reason, beginning))

    def _skip(self) -> None:
        """Pass over a value without holding it."""
        state = np.zeros(2, np.int64)
        begun = self._offset + self._at + 1
        while True:
            self._at = int(end_of_value(self._array, self._at, state))
            if state[0] == DONE:
                return
            if not self._fill():
                if state[0] == IN_SCALAR:
                    return
                self._fail(
                    f"the document ends within the value that begins at byte {begun:,}; is the file complete?"
                )

    def _name(self) -> str:
        """Take the name of a member."""
        if self._next() != QUOTE:
            self._fail("expected the name of a member, in quotes")
        while not (match := _NAME.match(self._text, self._at)):
            if len(self._text) - self._at > _LONGEST_NAME:
                self._fail(f"a name longer than {_LONGEST_NAME:,} bytes")
            if not self._fill():
                self._fail("the document ends within a name; is the file complete?")
        self._at = match.end()
        try:
            return str(orjson.loads(match[0]))
        except orjson.JSONDecodeError as error:
            return self._fail(f"not a name: {error}")

    def _next(self) -> int:
        """The next byte that is not white space, without taking it; _END at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return _END

    def _fill(self) -> bool:
        """Read on, and drop what has been gone through; whether there was more."""
        self._hand_over()
        if self._ended:
            return False
        self._offset += self._at
        self._lines += self._text.count(b"\n", 0, self._at)
        parts, size = [self._text[self._at :]], 0
        while size < self._block_bytes:
            piece = self._source.read(self._block_bytes - size)
            if not piece:
                self._ended = True
                break
            parts.append(piece)
            size += len(piece)
        self._text, self._at = b"".join(parts), 0
        # A copy: kernels are compiled for writable arrays, and `bytes` are not.
        self._array = np.frombuffer(bytearray(self._text), np.uint8)
        return size > 0

    def _fail(self, what: str) -> NoReturn:
        line = self._lines + self._text.count(b"\n", 0, self._at) + 1
        raise ReadError(f"{self._source.name}: line {line:,}, byte {self._offset + self._at + 1:,}: {what}")


def _written(path: Path) -> str:
    return ".".join(path) or "the top"
