"""JSON Lines: one object a line, with the names that CSV headers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import Cells, assemble, decode_cells
from hashserver.readers.columns import role_of
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.source import Source


def read_json_lines(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read JSON Lines; see `hashserver.readers.read_rows`. The type is always named by the key."""
    ready: list[Rows] = []

    def consume(text: NDArray[np.uint8], first_line: int, final: bool) -> tuple[int, int]:
        lines, taken, count = lines_of(text, first_line, final)
        if len(lines):
            rows = _read_block(lines, on_reject)
            ready.extend([rows] if rows is not None else [])
        return taken, count

    for _ in Blocks(source, on_reject, block_bytes).feed(consume):
        yield from ready
        ready.clear()


def _read_block(lines: Lines, on_reject: Callable[[Reject], None]) -> Rows | None:
    values: dict[str, list[bytes]] = {}
    broken: dict[int, str] = {}
    text = lines.cells.buffer.tobytes()
    starts, lengths = lines.cells.starts.tolist(), lines.cells.lengths.tolist()
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        try:
            found = _read_object(text[start : start + length])
        except ValueError as error:
            broken[row] = str(error)
            continue
        for role, value in found.items():
            column = values.setdefault(role, [])
            if len(column) < row:
                column.extend([b""] * (row - len(column)))
            column.append(value)
    for column in values.values():
        column.extend([b""] * (len(lines) - len(column)))
    return assemble(
        lines.numbers,
        [decode_cells(look_up(role), _cells(values[role])) for role in HASH_TYPES if role in values],
        category=_cells(values["category"]) if "category" in values else None,
        ids=_cells(values["id"]) if "id" in values else None,
        names=_cells(values["name"]) if "name" in values else None,
        broken=broken,
        raw=lines.cells.text,
        on_reject=on_reject,
    )


def _read_object(line: bytes) -> dict[str, bytes]:
    """What one line says, by role.

    Raises:
        ValueError: in words for the reject file.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    found = {}
    for key, item in value.items():
        role = role_of(key)
        if role is not None and item is not None and role not in found:
            found[role] = _text_of(role, item)
    return found


def _text_of(role: str, item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if role == "id" and isinstance(item, int) and not isinstance(item, bool):
        return str(item).encode()
    raise ValueError(f"{role}: expected a string, got {type(item).__name__}")


def _cells(values: list[bytes]) -> Cells:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    buffer = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    return Cells(buffer, np.cumsum(lengths) - lengths, lengths)
