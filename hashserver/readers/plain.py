"""Plain text: one hash a line; lines that begin with # are comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import assemble, decode_cells
from hashserver.readers.columns import type_of
from hashserver.readers.errors import ReadError
from hashserver.readers.lines import lines_of
from hashserver.readers.source import Source


def read_text(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read one hash a line; see `hashserver.readers.read_rows`.

    The type is the one that the user named, or else that of the first hash.
    """
    chosen = hash_type or _first_type(source)
    if chosen is None:
        return
    for every in Blocks(source, on_reject, block_bytes).cut(lines_of):
        lines = every.without_comments()
        decoded = decode_cells(look_up(chosen), lines.cells)
        rows = assemble(lines.numbers, [decoded], broken={}, raw=lines.cells.text, on_reject=on_reject)
        if rows is not None:
            yield rows


def _first_type(source: Source) -> str | None:
    """The hash type of the first line that is a hash; None for a source without any line."""
    lines = [line for line in source.head.lines if not line.lstrip().startswith(b"#")]
    for line in lines:
        found = type_of(line, None)
        if found is not None:
            return found
    if not lines and source.head.is_whole:
        return None
    raise ReadError(f"{source.name}: none of the first lines is a hash; name the type with --type")
