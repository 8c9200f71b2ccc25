"""JSON Lines: one object a line, with the names that CSV headers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.columns import role_of
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.objects import identifier_of, rows_of, text_of
from hashserver.readers.source import Source


def read_json_lines(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read JSON Lines; see `hashserver.readers.read_rows`. The type is always named by the key."""
    for lines in Blocks(source, on_reject, block_bytes).cut(lines_of):
        rows = _read_block(lines, on_reject)
        if rows is not None:
            yield rows


def _read_block(lines: Lines, on_reject: Callable[[Reject], None]) -> Rows | None:
    values: list[dict[str, Any] | None] = []
    broken: dict[int, str] = {}
    text = lines.cells.buffer.tobytes()
    starts, lengths = lines.cells.starts.tolist(), lines.cells.lengths.tolist()
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        try:
            values.append(_parse(text[start : start + length]))
        except ValueError as error:
            values.append(None)
            broken[row] = str(error)
    return rows_of(lines.numbers, values, _read, broken=broken, raw=lines.cells.text, on_reject=on_reject)


def _parse(line: bytes) -> dict[str, Any]:
    """The object on one line.

    Raises:
        ValueError: in words for the reject file.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _read(value: dict[str, Any]) -> dict[str, bytes]:
    """What an object says, by role; see `ReadObject`."""
    found = {}
    for key, item in value.items():
        role = role_of(key)
        if role is not None and item is not None and role not in found:
            found[role] = identifier_of(role, item) if role == "id" else text_of(role, item)
    return found
