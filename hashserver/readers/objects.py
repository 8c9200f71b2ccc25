"""From objects, one a row, to rows: the step that all JSON formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.rows import Reject, Rows, Strings, Withdrawals
from hashserver.readers.cells import assemble, cells_of, decode_cells, quality_of
from hashserver.readers.json_items import JsonItems
from hashserver.readers.source import Source

ReadObject = Callable[[dict[str, Any]], dict[str, bytes]]
"""What an object says, by role (a hash type, "category", "id", "name"); the message of a ValueError
is for the reject file."""


def rows_of(
    lines: NDArray[np.int64],
    values: Sequence[dict[str, Any] | None],
    read: ReadObject,
    *,
    broken: dict[int, str],
    raw: Callable[[int], bytes],
    on_reject: Callable[[Reject], None],
    source: Source | None = None,
) -> Rows | None:
    """Put rows together from objects.

    Args:
        lines: int64[n], where each stands.
        values: the objects; None where `broken` says why there is none.
        read: gives what an object says.
        broken, raw, on_reject: see `hashserver.readers.cells.assemble`.
        source: counts the perceptual hashes that are left out for their "quality"; None: all stay.

    Returns:
        The rows taken, or None when there are none.
    """
    found: list[dict[str, bytes] | None] = []
    reasons = dict(broken)
    for row, value in enumerate(values):
        said = None
        if value is not None:
            try:
                said = read(value)
            except ValueError as error:
                reasons[row] = str(error)
        found.append(said)
    return _assemble(lines, found, reasons, raw, on_reject, source)


def _assemble(
    lines: NDArray[np.int64],
    found: Sequence[dict[str, bytes] | None],
    broken: dict[int, str],
    raw: Callable[[int], bytes],
    on_reject: Callable[[Reject], None],
    source: Source | None = None,
) -> Rows | None:
    columns: dict[str, list[bytes]] = {}
    for row, said in enumerate(found):
        for role, text in (said or {}).items():
            column = columns.get(role)
            if column is None:
                column = columns[role] = []
            if len(column) < row:
                column.extend([b""] * (row - len(column)))
            column.append(text)
    for column in columns.values():
        column.extend([b""] * (len(lines) - len(column)))
    cells = {role: cells_of(column) for role, column in columns.items()}
    return assemble(
        lines,
        [decode_cells(hash_type, cells[name]) for name, hash_type in HASH_TYPES.items() if name in cells],
        category=cells.get("category"),
        ids=cells.get("id"),
        names=cells.get("name"),
        quality=None if source is None else quality_of(cells.get("quality"), source),
        broken=broken,
        raw=raw,
        on_reject=on_reject,
    )


def word_of(name: str, value: Any) -> bytes:
    """A string, a number, true or false, as it is written.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode() if isinstance(value, int | float) else text_of(name, value)


def text_of(name: str, value: Any) -> bytes:
    """A string.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"{name}: expected a string, got {type(value).__name__}")


def identifier_of(name: str, value: Any) -> bytes:
    """A string or a whole number.

    Raises:
        ValueError: it is neither.
    """
    return str(value).encode() if type(value) is int else text_of(name, value)


def checkable_rows(
    items: JsonItems,
    read: Callable[[dict[str, Any]], dict[str, bytes] | None],
    source: Source,
    on_reject: Callable[[Reject], None],
) -> Rows | None:
    """Rows of a block of items of an inventory.

    Args:
        items: the block.
        read: like a `ReadObject`; None for an item that has no content, such as a folder.
        source: counts items of which `read` gives no hash as not checkable.
        on_reject: called with items that are wrong.

    Returns:
        The rows taken, or None when there are none.
    """
    values, broken = items.parse()
    found: list[dict[str, bytes] | None] = []
    kept = []
    for row, value in enumerate(values):
        said = None
        if value is not None:
            try:
                said = read(value)
            except ValueError as error:
                broken[row] = str(error)
            else:
                if said is None or said.keys().isdisjoint(HASH_TYPES):
                    source.not_checkable += said is not None
                    continue
        kept.append(row)
        found.append(said)
    if not kept:
        return None
    return _assemble(
        items.numbers[kept],
        found,
        {at: broken[row] for at, row in enumerate(kept) if row in broken},
        lambda at: items.raw(kept[at]),
        on_reject,
    )


class Withdrawn(Exception):
    """What a `ReadObject` raises for an item that its source has withdrawn.

    Args:
        id: its external id; empty: none.
    """

    def __init__(self, id: bytes) -> None:
        super().__init__("withdrawn")
        self.id = id


def withdrawable_rows(
    items: JsonItems, read: ReadObject, on_reject: Callable[[Reject], None]
) -> Iterator[Rows | Withdrawals]:
    """Rows and withdrawals of a block of items, in the order in which they have to be taken.

    What `read` raises `Withdrawn` for is a withdrawal, or a reject where it has no id.
    """
    values, broken = items.parse()
    part = _Part(0)
    for row, value in enumerate(values):
        said = None
        if value is not None:
            try:
                said = read(value)
            except Withdrawn as withdrawn:
                if withdrawn.id in part.ids:
                    # Withdrawals come first in a part, so one that follows its entry begins
                    # another.
                    yield from part.take(items, broken, on_reject)
                    part = _Part(row)
                if withdrawn.id:
                    part.gone[row] = withdrawn.id
                else:
                    broken[row] = "withdrawn by its source, but has no id to find it by"
            except ValueError as error:
                broken[row] = str(error)
        part.add(said)
    yield from part.take(items, broken, on_reject)


class _Part:
    """JsonItems of which none is withdrawn after it was given.

    Args:
        start: the first item.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._found: list[dict[str, bytes] | None] = []
        self.ids: set[bytes] = set()
        self.gone: dict[int, bytes] = {}

    def add(self, said: dict[str, bytes] | None) -> None:
        """Take what the next item says."""
        self._found.append(said)
        if said is not None and "id" in said:
            self.ids.add(said["id"])

    def take(
        self, items: JsonItems, broken: dict[int, str], on_reject: Callable[[Reject], None]
    ) -> Iterator[Rows | Withdrawals]:
        """The withdrawals, and then the rows."""
        if self.gone:
            rows = np.array(list(self.gone), np.int64)
            yield Withdrawals(items.numbers[rows], Strings.of(list(self.gone.values())))
        kept = [row for row in range(self._start, self._start + len(self._found)) if row not in self.gone]
        if not kept:
            return
        taken = _assemble(
            items.numbers[kept],
            [self._found[row - self._start] for row in kept],
            {at: broken[row] for at, row in enumerate(kept) if row in broken},
            lambda at: items.raw(kept[at]),
            on_reject,
        )
        if taken is not None:
            yield taken
