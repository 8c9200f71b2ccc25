"""Plain text: one hash a line; lines that begin with # are comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import assemble, decode_cells
from hashserver.readers.columns import type_of
from hashserver.readers.errors import ReadError
from hashserver.readers.lines import lines_of
from hashserver.readers.source import Source

_SAMPLE = 1 << 16


def read_text(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read one hash a line; see `hashserver.readers.read_rows`. The type is the named one, or the first line's."""
    chosen = hash_type or _first_type(source)
    if chosen is None:
        return
    kind = look_up(chosen)
    ready: list[Rows] = []

    def consume(text: NDArray[np.uint8], first_line: int, final: bool) -> tuple[int, int]:
        every, taken, count = lines_of(text, first_line, final)
        lines = every.without_comments()
        if len(lines):
            raw = lines.cells.text
            decoded = decode_cells(kind, lines.cells)
            rows = assemble(lines.numbers, [decoded], broken={}, raw=raw, on_reject=on_reject)
            ready.extend([rows] if rows is not None else [])
        return taken, count

    for _ in Blocks(source, on_reject, block_bytes).feed(consume):
        yield from ready
        ready.clear()


def _first_type(source: Source) -> str | None:
    """The hash type of the first line that is a hash; None for a source without any line."""
    sample = source.peek(_SAMPLE)
    lines = [line.strip() for line in sample.removeprefix(b"\xef\xbb\xbf").splitlines()]
    lines = [line for line in lines if line and not line.startswith(b"#")]
    for line in lines:
        kind = type_of(line, None)
        if kind is not None:
            return kind
    if not lines and len(sample) < _SAMPLE:
        return None
    raise ReadError(f"{source.name}: none of the first lines is a hash; name the type with --type")
