"""NCMEC's hash sharing XML, version 2: items with their fingerprints, and items taken back.

The parser is expat, fed in small pieces. What makes XML dangerous is refused at the first sign of it: a
document type (and with it entities, internal and external), deep nesting, and names, tags or comments without
end.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np

from hashcore.hashtypes import HASH_TYPES, HashType
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows, Strings, Withdrawals
from hashserver.readers.cells import Decoded, assemble, cells_of, decode_cells
from hashserver.readers.errors import ReadError
from hashserver.readers.source import Source

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
BLOCK_ITEMS = 1 << 14
_PIECE = 1 << 16
_LONGEST_MARKUP = 1 << 18
_LONGEST_TEXT = 1000
_DEEPEST = 32
_MOST_NAMES = 1000  # expat keeps every name that it has seen
_ITEMS = {"image": False, "video": False, "deletedImage": True, "deletedVideo": True}
_FIELDS = ("id", "classification")
_FINGERPRINTS = {"pdna": "photodna"} | {name: name for name in HASH_TYPES}


def looks_like(sample: bytes) -> bool:
    """Whether a file is XML, in one of the encodings that a parser tells by its first bytes."""
    if sample.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
        sample = sample.replace(b"\0", b"").lstrip(b"\xff\xfe")
    return sample.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def read_ncmec(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_items: int = BLOCK_ITEMS,
) -> Iterator[Rows | Withdrawals]:
    """Read a `queryResult`; see `hashserver.readers.read_rows`. The types are always named by the elements.

    A row's line is that of its item's first tag. Withdrawals come after the rows that stand before them, and
    before those that stand after them.
    """
    reader = _Reader(source.name, on_reject, block_items)
    while piece := source.read(_PIECE):
        reader.feed(piece)
        yield from reader.take()
    reader.finish()
    yield from reader.take()


@dataclass(slots=True)
class _Item:
    """One element of a result: `image`, `video`, or one that is withdrawn."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    def text(self) -> bytes:
        """The item for the reject file."""
        shown = " ".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.name} {shown}".encode()


class _Reader:
    """Turns the events of the parser into items, and items into blocks."""

    def __init__(self, source_name: str, on_reject: Callable[[Reject], None], block_items: int) -> None:
        self._name, self._on_reject, self._block_items = source_name, on_reject, block_items
        self._fed = 0
        self._depth = 0
        self._names: set[str] = set()
        self._elements: dict[str, str] = {}
        self._item: _Item | None = None
        self._item_depth = 0
        self._in_fingerprints = False
        self._wanted, self._wanted_depth = "", 0
        self._text: list[str] = []
        self._text_size = 0
        self._items: list[_Item] = []
        self._withdrawn: dict[str, int] = {}
        self._ready: list[Rows | Withdrawals] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.EntityDeclHandler = self._refuse_doctype
        self._parser.StartNamespaceDeclHandler = lambda prefix, uri: self._learn([prefix or "", uri or ""])

    def feed(self, piece: bytes) -> None:
        """Parse some more."""
        self._fed += len(piece)
        self._parse(piece, False)
        # What the parser holds back is a tag, a comment or an instruction that has not ended.
        if self._fed - self._parser.CurrentByteIndex > _LONGEST_MARKUP:
            self._fail(f"a tag or a comment of more than {_LONGEST_MARKUP:,} bytes")

    def finish(self) -> None:
        """The source has ended; an empty one is an empty list, as in every format."""
        if self._fed:
            self._parse(b"", True)
        self._flush()

    def take(self) -> list[Rows | Withdrawals]:
        """The blocks made since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def _parse(self, piece: bytes, final: bool) -> None:
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code, "broken")
            raise ReadError(
                f"{self._name}: not sound XML at line {error.lineno}, column {error.offset + 1}: {reason}"
            ) from error
        except (LookupError, ValueError) as error:
            raise ReadError(f"{self._name}: the XML is in an encoding that cannot be read: {error}") from error

    def _fail(self, what: str) -> None:
        raise ReadError(f"{self._name}, line {self._parser.CurrentLineNumber}: {what}; this is not read")

    def _refuse_doctype(self, *_: object) -> None:
        self._fail("a document type (DOCTYPE) or an entity is declared, which hash sharing XML has no use for")

    def _learn(self, names: list[str]) -> None:
        self._names.update(names)
        if len(self._names) > _MOST_NAMES:
            self._fail(f"more than {_MOST_NAMES:,} different names of tags and attributes")

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
            if element in _ITEMS:
                self._item = _Item(element, self._parser.CurrentLineNumber)
                self._item_depth = self._depth
            return
        below = self._depth - self._item_depth
        if below == 1 and element == "fingerprints":
            self._in_fingerprints = True
        elif (below == 1 and element in _FIELDS) or (
            below == 2 and self._in_fingerprints and element in _FINGERPRINTS
        ):
            self._wanted, self._wanted_depth = element, self._depth
            self._text, self._text_size = [], 0
            self._parser.CharacterDataHandler = self._characters

    def _check_root(self, name: str) -> None:
        namespace, _, root = name.rpartition(" ")
        if root != "queryResult" or namespace not in ("", NAMESPACE):
            shown = f"{root} of {namespace}" if namespace else root
            self._fail(f"the document is {shown[:200]}, and not the queryResult of {NAMESPACE}")
        prefix = f"{namespace} " if namespace else ""
        known = (*_ITEMS, *_FIELDS, "fingerprints", *_FINGERPRINTS)
        self._elements = {prefix + element: element for element in known}

    def _characters(self, text: str) -> None:
        if self._text_size <= _LONGEST_TEXT:
            self._text.append(text[: _LONGEST_TEXT + 1])
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

    def _keep_text(self, item: _Item) -> None:
        self._parser.CharacterDataHandler = None
        element, self._wanted = self._wanted, ""
        if self._text_size > _LONGEST_TEXT:
            item.problem = item.problem or f"{element}: longer than {_LONGEST_TEXT:,} characters"
            self._text = ["".join(self._text)[:100]]
        if element in item.values:
            item.problem = item.problem or f"{element}: given twice"
            return
        item.values[element] = "".join(self._text).strip()

    def _keep(self, item: _Item) -> None:
        external = item.values.get("id", "")
        if not _ITEMS[item.name]:
            if external in self._withdrawn:
                self._flush()  # it came back after it was withdrawn
            self._items.append(item)
        elif item.problem or not external:
            item.problem = item.problem or "id: a withdrawal needs one"
            self._items.append(item)  # to be turned away in the order of the lines
        else:
            self._withdrawn.setdefault(external, item.line)
        if len(self._items) + len(self._withdrawn) >= self._block_items:
            self._flush()

    def _flush(self) -> None:
        if self._items:
            rows = _assemble(self._items, self._on_reject)
            self._ready.extend([rows] if rows is not None else [])
            self._items = []
        if self._withdrawn:
            ids = Strings.of([external.encode() for external in self._withdrawn])
            self._ready.append(Withdrawals(np.array(list(self._withdrawn.values()), np.int64), ids))
            self._withdrawn = {}


def _assemble(items: list[_Item], on_reject: Callable[[Reject], None]) -> Rows | None:
    def column(element: str) -> list[bytes]:
        return [item.values.get(element, "").encode() for item in items]

    hashes = []
    for element, name in _FINGERPRINTS.items():
        if name in HASH_TYPES and any(element in item.values for item in items):
            decode = _decode_base64 if element == "pdna" else _decode_hexadecimal
            hashes.append(decode(look_up(name), column(element)))
    return assemble(
        np.array([item.line for item in items], np.int64),
        hashes,
        category=cells_of(column("classification")),
        ids=cells_of(column("id")),
        broken={row: item.problem for row, item in enumerate(items) if item.problem},
        raw=lambda row: items[row].text(),
        on_reject=on_reject,
    )


def _decode_hexadecimal(kind: HashType, values: list[bytes]) -> Decoded:
    return decode_cells(kind, cells_of(values))


def _decode_base64(kind: HashType, values: list[bytes]) -> Decoded:
    """Decode a column of hashes in base64; white space within them is left out."""
    digests = np.zeros((len(values), kind.width), np.uint8)
    present = np.array([bool(value) for value in values], np.bool_)
    reasons: dict[int, str] = {}
    for row in np.flatnonzero(present).tolist():
        try:
            digest = base64.b64decode(b"".join(values[row].split()), validate=True)
        except binascii.Error:
            reasons[row] = f"{kind.name}: not base64"
            continue
        if len(digest) == kind.width:
            digests[row] = np.frombuffer(digest, np.uint8)
        else:
            reasons[row] = f"{kind.name}: expected {kind.width} bytes in base64, got {len(digest)}"
    bad = np.zeros(len(values), np.bool_)
    bad[list(reasons)] = True
    return Decoded(kind, digests, present, bad, reasons.__getitem__)
