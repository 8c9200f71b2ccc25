"""NCMEC's hash sharing XML, version 2: items with their fingerprints, and items taken back.

The parser is expat, fed in small pieces. It decides what the document is; between two items, where
it stands outside of everything that could give them another meaning, a compiled scan takes those
that are written plainly (`ncmec_plain`), and the parser is fed white space in their place. What
both make of an item is the same.

What makes XML dangerous is refused at the first sign of it: a document type (and with it entities,
internal and external), deep nesting, and names, tags or comments without end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.parsers import expat

import numpy as np

from hashcore.rows import Reject, Rows, Strings, Withdrawals
from hashserver.readers.errors import ReadError
from hashserver.readers.head import Head
from hashserver.readers.ncmec_items import (
    FIELDS,
    FINGERPRINTS,
    FIRST_FINGERPRINT,
    FIRST_WITHDRAWAL,
    KINDS,
    LONGEST_TEXT,
    GatheredItems,
    Item,
)
from hashserver.readers.ncmec_plain import (
    DEEPEST_PLAIN,
    FULL,
    NEEDS_MORE,
    WITHDRAWN,
    blank,
    next_candidate,
    take_items,
)
from hashserver.readers.source import Source

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
BLOCK_ITEMS = 1 << 14
_CHUNK = 1 << 20
_PIECE = 1 << 16
_LONGEST_MARKUP = 1 << 18
_DEEPEST = 32
_MOST_NAMES = 1000  # expat keeps every name that it has seen
_FIELDS = FIELDS[:FIRST_FINGERPRINT]
_LIKE_ASCII = ("utf-8", "us-ascii", "iso-8859-1")


def looks_like(head: Head) -> bool:
    """Whether a file is XML, in one of the encodings that a parser tells by its first bytes."""
    text = head.text.replace(b"\0", b"").lstrip(b"\xff\xfe") if head.is_utf16 else head.text
    return text.lstrip().startswith(b"<")


def read_ncmec(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_items: int = BLOCK_ITEMS,
    plainly: bool = True,
) -> Iterator[Rows | Withdrawals]:
    """Read a `queryResult`; see `hashserver.readers.read_rows`. The elements name the types.

    A row's line is that of its item's first tag. Withdrawals come after the rows that stand before
    them, and before those that stand after them. Without `plainly` all of it goes through the
    parser, at a fraction of the speed.
    """
    reader = _Reader(source.name, on_reject, block_items, plainly and not source.head.is_utf16)
    rest = bytearray()
    while chunk := source.read(_CHUNK):
        rest += chunk
        taken = reader.feed(rest)
        rest = rest[taken:]
        yield from reader.take()
    reader.feed(rest, last=True)
    reader.finish()
    yield from reader.take()


class _Reader:
    """Turns the events of the parser into items, and items into blocks."""

    def __init__(
        self, source_name: str, on_reject: Callable[[Reject], None], block_items: int, plainly: bool
    ) -> None:
        self._name, self._on_reject, self._block_items = source_name, on_reject, block_items
        self._fed = self._parsed = 0
        self._depth = 0
        self._names: set[str] = set()
        self._elements: dict[str, str] = {}
        self._item: Item | None = None
        self._item_depth = 0
        self._in_fingerprints = False
        self._wanted, self._wanted_depth = "", 0
        self._text: list[str] = []
        self._text_size = 0
        self._items = GatheredItems(block_items)
        self._withdrawn: dict[bytes, int] = {}
        self._ready: list[Rows | Withdrawals] = []
        self._plainly = plainly
        self._default_namespace = ""
        self._in_cdata = False
        self._patience = 1
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.ordered_attributes = True
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.EntityDeclHandler = self._refuse_doctype
        self._parser.StartNamespaceDeclHandler = self._name_space
        self._parser.StartCdataSectionHandler = lambda: self._set_in_cdata(True)
        self._parser.EndCdataSectionHandler = lambda: self._set_in_cdata(False)

    def feed(self, text: bytearray, last: bool = False) -> int:
        """Read some more; returns the bytes taken, all but an item whose end is still to come."""
        at = 0
        while at < len(text):
            if self._is_between_items():
                at, stopped = self._take_plain(text, at)
                if stopped in (FULL, WITHDRAWN):
                    continue
                if stopped == NEEDS_MORE and not last and len(text) - at <= _LONGEST_MARKUP:
                    return at
            stop = next_candidate(text, at + self._patience) if self._plainly else len(text)
            for start in range(at, stop, _PIECE):
                self._feed_parser(text[start : min(start + _PIECE, stop)])
            # Where nothing is plain, looking for it again and again would cost more than it spares.
            self._patience = min(2 * self._patience, _PIECE)
            at = stop
        return at

    def _is_between_items(self) -> bool:
        """Whether the parser has read all it was fed, and an item here means what it says."""
        return (
            self._plainly
            and self._item is None
            and not self._in_cdata
            and 0 < self._depth <= _DEEPEST - DEEPEST_PLAIN
            and self._parsed == self._fed
        )

    def _take_plain(self, text: bytearray, at: int) -> tuple[int, int]:
        """Take plain items; returns where the next thing begins, and why it stopped there."""
        items, first = self._items, self._items.count
        items.settle()
        most = self._block_items - first - len(self._withdrawn)
        line = self._parser.CurrentLineNumber
        stop, line_there, stopped = take_items(np.frombuffer(text, np.uint8), at, line, items, most)
        if stop > at:
            self._feed_parser(blank(text, at, stop, line_there - line))
        if items.count > first:
            self._patience = 1
        withdrawn: dict[bytes, int] = {}
        if stopped == WITHDRAWN:
            items.count -= 1
            withdrawn = {items.id_of(items.count): items.line(items.count)}
        self._part_from_withdrawn(first)
        for id, its_line in withdrawn.items():
            self._withdrawn.setdefault(id, its_line)
        self._flush_if_full()
        return stop, stopped

    def _feed_parser(self, piece: bytes | bytearray) -> None:
        self._fed += len(piece)
        self._parse(piece, False)
        # It is -1 where the parser waits for more of a tag, a comment or an instruction.
        self._parsed = max(self._parsed, self._parser.CurrentByteIndex)
        if self._fed - self._parsed > _LONGEST_MARKUP:
            self._fail(f"a tag or a comment of more than {_LONGEST_MARKUP:,} bytes")

    def finish(self) -> None:
        """The source has ended; an empty one is an empty list, as in every format."""
        if self._fed:
            self._parse(b"", True)
        self._flush(self._items.count)

    def take(self) -> list[Rows | Withdrawals]:
        """The blocks made since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def _parse(self, piece: bytes | bytearray, final: bool) -> None:
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code, "broken")
            raise ReadError(
                f"{self._name}: not valid XML at line {error.lineno}, column {error.offset + 1}: {reason}"
            ) from error
        except (LookupError, ValueError) as error:
            raise ReadError(f"{self._name}: the XML is in an encoding that cannot be read: {error}") from error

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self._plainly = self._plainly and (encoding or "utf-8").lower() in _LIKE_ASCII

    def _set_in_cdata(self, within: bool) -> None:
        self._in_cdata = within

    def _fail(self, what: str) -> None:
        raise ReadError(f"{self._name}, line {self._parser.CurrentLineNumber}: {what}; the file was refused")

    def _refuse_doctype(self, *_: object) -> None:
        self._fail("it declares a document type (DOCTYPE) or an entity, which hash sharing XML never needs")

    def _learn(self, names: list[str]) -> None:
        self._names.update(names)
        if len(self._names) > _MOST_NAMES:
            self._fail(f"more than {_MOST_NAMES:,} different names of tags and attributes")

    def _name_space(self, prefix: str | None, uri: str | None) -> None:
        self._learn([prefix or "", uri or ""])
        if self._depth:
            self._plainly = False  # from here on a name may mean another thing
        elif prefix is None:
            self._default_namespace = uri or ""

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if name not in self._names:
            self._learn([name])
        if attributes:
            self._learn(attributes[::2])
        if self._depth > _DEEPEST:
            self._fail(f"elements are nested more than {_DEEPEST} deep")
        if self._depth == 1:
            self._check_root(name)
            return
        if self._item is not None and self._wanted:
            self._item.problem = self._item.problem or f"{self._wanted}: expected text, got an element"
            return
        element = self._elements.get(name)
        if element is None:
            return
        if self._item is None:
            if element in KINDS:
                self._item = Item(element, self._parser.CurrentLineNumber)
                self._item_depth = self._depth
            return
        below = self._depth - self._item_depth
        if below == 1 and element == "fingerprints":
            self._in_fingerprints = True
        elif (below == 1 and element in _FIELDS) or (
            below == 2 and self._in_fingerprints and element in FINGERPRINTS
        ):
            self._wanted, self._wanted_depth = element, self._depth
            self._text, self._text_size = [], 0
            self._parser.CharacterDataHandler = self._characters

    def _check_root(self, name: str) -> None:
        namespace, _, root = name.rpartition(" ")
        if root != "queryResult" or namespace not in ("", NAMESPACE):
            shown = f"{root} of {namespace}" if namespace else root
            self._fail(f"the document is {shown[:200]}, not the queryResult of {NAMESPACE}")
        prefix = f"{namespace} " if namespace else ""
        self._plainly = self._plainly and self._default_namespace == namespace
        known = (*KINDS, *FIELDS, "fingerprints")
        self._elements = {prefix + element: element for element in known}

    def _characters(self, text: str) -> None:
        if self._text_size <= LONGEST_TEXT:
            self._text.append(text[: LONGEST_TEXT + 1])
        self._text_size += len(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        item = self._item
        if item is None:
            return
        ended = self._depth + 1
        if self._wanted:
            if ended == self._wanted_depth:
                self._keep_text(item)
        elif ended == self._item_depth:
            self._item = None
            self._keep(item)
        elif ended == self._item_depth + 1:
            self._in_fingerprints = False

    def _keep_text(self, item: Item) -> None:
        self._parser.CharacterDataHandler = None
        element, self._wanted = self._wanted, ""
        if self._text_size > LONGEST_TEXT:
            item.problem = item.problem or f"{element}: longer than {LONGEST_TEXT:,} characters"
            self._text = ["".join(self._text)[:100]]
        if element in item.values:
            item.problem = item.problem or f"{element}: given twice"
            return
        item.values[element] = "".join(self._text).strip()

    def _keep(self, item: Item) -> None:
        id = item.values.get("id", "").encode()
        if KINDS.index(item.name) < FIRST_WITHDRAWAL:
            if id in self._withdrawn:
                self._flush(self._items.count)  # it came back after it was withdrawn
            self._items.append(item)
        elif item.problem or not id:
            item.problem = item.problem or "id: a withdrawal needs one"
            self._items.append(item)  # to be turned away in the order of the lines
        else:
            self._withdrawn.setdefault(id, item.line)
        self._flush_if_full()

    def _part_from_withdrawn(self, first: int) -> None:
        """Start a new block at an item that came back after its withdrawal, from `first` on."""
        if not self._withdrawn:
            return
        ids = self._items.ids(first, self._items.count)
        if self._withdrawn.keys().isdisjoint(ids):
            return
        back = next(index for index, id in enumerate(ids) if id in self._withdrawn)
        self._flush(first + back)

    def _flush_if_full(self) -> None:
        if self._items.full or self._items.count + len(self._withdrawn) >= self._block_items:
            self._flush(self._items.count)

    def _flush(self, count: int) -> None:
        """Make a block of the first `count` items, and one of all that is withdrawn."""
        rows = self._items.cut(count, self._on_reject)
        if rows is not None:
            self._ready.append(rows)
        if self._withdrawn:
            lines = np.array(list(self._withdrawn.values()), np.int64)
            self._ready.append(Withdrawals(lines, Strings.of(list(self._withdrawn))))
            self._withdrawn = {}
