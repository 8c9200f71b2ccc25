"""Items of NCMEC's XML gathered in columns, until there are enough of them for a block."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES, HashType
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.cells import Cells, Decoded, assemble, decode_cells

KINDS = ("image", "video", "deletedImage", "deletedVideo")
FIRST_WITHDRAWAL = 2
"""The kinds from here on are items taken back."""

FINGERPRINTS = {"pdna": "photodna"} | {name: name for name in HASH_TYPES if name != "photodna"}
"""The elements within `fingerprints`, and the hash types that they hold."""

FIELDS = ("id", "classification", *FINGERPRINTS)
"""The elements that are kept, in the order of the columns."""

FIRST_FINGERPRINT = 2
_COLUMN_OF = {name: column for column, name in enumerate(FIELDS)}
LONGEST_TEXT = 1000
"""Characters of one element."""

ROOM_FOR_ONE = 4 * LONGEST_TEXT * len(FIELDS)
_TEXT_BYTES = 8 << 20


@dataclass(slots=True)
class Item:
    """One element of a result as the parser finds it; see KINDS."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class ItemColumns(NamedTuple):
    """Room for the items of a block, all of whose values lie in one buffer.

    Args:
        kinds: int8[room], an index into KINDS.
        lines: int64[room], where the first tag of each stands.
        starts, lengths: int64[FIELDS, room], spans of `text`; the length is -1 where there is no
            such element.
        text: uint8[size], the values.
    """

    kinds: NDArray[np.int8]
    lines: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    text: NDArray[np.uint8]


class GatheredItems:
    """Up to `room` items, for one block after another.

    Attributes:
        columns: of the items.
        count: how many there are.
        text_size: bytes of the text that are in use.
    """

    def __init__(self, room: int) -> None:
        spans = (len(FIELDS), room)
        self.columns = ItemColumns(
            np.zeros(room, np.int8),
            np.zeros(room, np.int64),
            np.zeros(spans, np.int64),
            np.zeros(spans, np.int64),
            np.zeros(_TEXT_BYTES, np.uint8),
        )
        self.count = self.text_size = 0
        self._problems: dict[int, str] = {}
        self._late: list[tuple[int, int, int]] = []
        self._late_values: list[tuple[int, int, int, int]] = []
        self._late_text: list[bytes] = []

    @property
    def full(self) -> bool:
        """Whether the values of one more item might find no room."""
        return self.count == len(self.columns.kinds) or len(self.columns.text) - self.text_size < ROOM_FOR_ONE

    def append(self, item: Item) -> None:
        """Add one item; it goes into the columns when those are asked for."""
        row, self.count = self.count, self.count + 1
        self._late.append((row, KINDS.index(item.name), item.line))
        for name, value in item.values.items():
            text = value.encode()
            self._late_values.append((_COLUMN_OF[name], row, self.text_size, len(text)))
            self._late_text.append(text)
            self.text_size += len(text)
        if item.problem:
            self._problems[row] = item.problem

    def settle(self) -> None:
        """Put what was added one by one into the columns, which costs less for many at a time."""
        if not self._late:
            return
        rows, kinds, lines = np.array(self._late, np.int64).T
        self.columns.kinds[rows], self.columns.lines[rows] = kinds, lines
        self.columns.lengths[:, rows] = -1
        if self._late_values:
            columns, rows, starts, lengths = np.array(self._late_values, np.int64).T
            self.columns.starts[columns, rows], self.columns.lengths[columns, rows] = starts, lengths
            text = np.frombuffer(b"".join(self._late_text), np.uint8)
            self.columns.text[starts[0] : starts[0] + len(text)] = text
        self._late, self._late_values, self._late_text = [], [], []

    def line(self, row: int) -> int:
        """Where one item begins."""
        return int(self.columns.lines[row])

    def id_of(self, row: int) -> bytes:
        """The id of one item; empty: none."""
        return self._value(0, row)

    def ids(self, first: int, last: int) -> list[bytes]:
        """The ids of the items from `first` to before `last`."""
        if first == last:
            return []
        starts, lengths = self.columns.starts[0, first:last], np.maximum(self.columns.lengths[0, first:last], 0)
        starts = np.where(lengths > 0, starts, 0)
        base = int(starts[lengths > 0].min(initial=self.text_size))
        text = self.columns.text[base : self.text_size].tobytes()
        spans = zip((starts - base).tolist(), (starts - base + lengths).tolist(), strict=True)
        return [text[start:stop] if stop > start else b"" for start, stop in spans]

    def cut(self, count: int, on_reject: Callable[[Reject], None]) -> Rows | None:
        """Take the first `count` items as rows and move the others up; None: no item is good."""
        self.settle()
        rows = self._assemble(count, on_reject) if count else None
        rest = slice(count, self.count)
        self.count -= count
        for column in (self.columns.kinds, self.columns.lines, *self.columns.starts, *self.columns.lengths):
            column[: self.count] = column[rest].copy()
        self._problems = {row - count: problem for row, problem in self._problems.items() if row >= count}
        if not self.count:
            self.text_size = 0
        return rows

    def _assemble(self, count: int, on_reject: Callable[[Reject], None]) -> Rows | None:
        hashes = []
        for column, (element, name) in enumerate(FINGERPRINTS.items(), FIRST_FINGERPRINT):
            if name in HASH_TYPES and (self.columns.lengths[column, :count] >= 0).any():
                decode = _decode_base64 if element == "pdna" else decode_cells
                hashes.append(decode(look_up(name), self._cells(column, count)))
        return assemble(
            self.columns.lines[:count].copy(),
            hashes,
            category=self._cells(1, count),
            ids=self._cells(0, count),
            broken={row: problem for row, problem in self._problems.items() if row < count},
            raw=self._shown,
            on_reject=on_reject,
        )

    def _cells(self, column: int, count: int) -> Cells:
        # Copies, for decoding trims the spans in place.
        lengths = np.maximum(self.columns.lengths[column, :count], 0)
        return Cells(self.columns.text, self.columns.starts[column, :count] * (lengths > 0), lengths)

    def _value(self, column: int, row: int) -> bytes:
        start, length = self.columns.starts[column, row], max(int(self.columns.lengths[column, row]), 0)
        return self.columns.text[start : start + length].tobytes()

    def _shown(self, row: int) -> bytes:
        """An item for the reject file, with its elements in the order in which they stand."""
        given = np.flatnonzero(self.columns.lengths[:, row] >= 0)
        order = given[np.lexsort((self.columns.lengths[given, row], self.columns.starts[given, row]))].tolist()
        shown = b" ".join(FIELDS[column].encode() + b"=" + self._value(column, row) for column in order)
        return KINDS[self.columns.kinds[row]].encode() + b" " + shown


def _decode_base64(hash_type: HashType, cells: Cells) -> Decoded:
    """Decode a column of hashes in base64; white space within them is left out."""
    count = len(cells.starts)
    digests = np.zeros((count, hash_type.width), np.uint8)
    present = cells.lengths > 0
    reasons: dict[int, str] = {}
    for row in np.flatnonzero(present).tolist():
        try:
            digest = base64.b64decode(b"".join(cells.text(row).split()), validate=True)
        except binascii.Error:
            reasons[row] = f"{hash_type.name}: not base64"
            continue
        if len(digest) == hash_type.width:
            digests[row] = np.frombuffer(digest, np.uint8)
        else:
            reasons[row] = f"{hash_type.name}: expected {hash_type.width} bytes in base64, got {len(digest)}"
    bad = np.zeros(count, np.bool_)
    bad[list(reasons)] = True
    return Decoded(hash_type, digests, present, bad, reasons.__getitem__)
