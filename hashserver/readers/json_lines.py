"""JSON Lines: one object a line, with the names that CSV headers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.columns import roles_by_name
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.objects import identifier_of, rows_of, text_of, word_of
from hashserver.readers.source import Source

_READ = {"id": identifier_of, "category": word_of, "quality": word_of}
_MOST_KINDS = 1000  # of objects, by the names of their members
_MOST_IGNORED = 100


def read_json_lines(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read JSON Lines; see `hashserver.readers.read_rows`. The type is always named by the key."""
    reader = _Members(source.columns)
    for lines in Blocks(source, on_reject, block_bytes).cut(lines_of):
        rows = _read_block(lines, reader, source, on_reject)
        source.ignored_columns = list(reader.ignored)
        if rows is not None:
            yield rows


def _read_block(
    lines: Lines, reader: _Members, source: Source, on_reject: Callable[[Reject], None]
) -> Rows | None:
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
    return rows_of(
        lines.numbers,
        values,
        reader.read,
        broken=broken,
        raw=lines.cells.text,
        on_reject=on_reject,
        source=source,
    )


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


class _Members:
    """Reads objects, which may have different members.

    Args:
        named: names of members by what they hold, as the user gave them.

    Attributes:
        ignored: the names of members that mean nothing.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = named
        self._known: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self.ignored: dict[str, None] = {}

    def read(self, value: dict[str, Any]) -> dict[str, bytes]:
        """What an object says, by role; see `ReadObject`."""
        names = tuple(name for name, item in value.items() if item is not None)
        roles = self._known.get(names)
        if roles is None:
            roles = self._roles(names)
            if len(self._known) < _MOST_KINDS:
                self._known[names] = roles
        return {role: _READ.get(role, text_of)(name, value[name]) for name, role in roles}

    def _roles(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        found = roles_by_name(names, self._named)
        roles = [(name, role) for role, name in found.items() if name in names]
        used = {name for name, _ in roles}
        if len(self.ignored) < _MOST_IGNORED:
            self.ignored.update((name[:100], None) for name in names if name not in used)
        return roles
