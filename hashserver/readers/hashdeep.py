"""Listings of hashdeep, and of md5deep in audit mode: sizes, hashes and names after a header.

Names are not quoted and may hold commas, so a record is split at its first commas only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import Cells, assemble, decode_cells
from hashserver.readers.errors import ReadError
from hashserver.readers.head import Head
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.source import Source

_MAGIC = b"%%%% HASHDEEP-"
_MARK = b"%%%%"
_COMMA = 0x2C


def looks_like(head: Head) -> bool:
    """Whether a file begins as hashdeep's listings do."""
    return head.text.startswith(_MAGIC)


@nb.njit(cache=True, nogil=True)
def _split(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    field_starts: NDArray[np.int64],
    field_lengths: NDArray[np.int64],
    fields: NDArray[np.int64],
) -> None:
    """Split lines at their first commas into int64[columns, n] spans; the last takes the rest."""
    columns = field_starts.shape[0]
    for i in range(starts.shape[0]):
        at, stop = starts[i], starts[i] + lengths[i]
        column = 0
        field_starts[0, i] = at
        while at < stop and column < columns - 1:
            if text[at] == _COMMA:
                field_lengths[column, i] = at - field_starts[column, i]
                column += 1
                field_starts[column, i] = at + 1
            at += 1
        field_lengths[column, i] = stop - field_starts[column, i]
        fields[i] = column + 1


def read_hashdeep(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read a listing; see `hashserver.readers.read_rows`. The types are named by its header."""
    columns = _columns(source)
    for every in Blocks(source, on_reject, block_bytes).cut(lines_of):
        lines = _without_headers(every.without_comments(), columns, source.name)
        rows = _read_block(lines, columns, on_reject)
        if rows is not None:
            yield rows


def _columns(source: Source) -> list[str]:
    """The columns that the header names.

    Raises:
        ReadError: it names none, or no hash that can be read.
    """
    for line in source.head.lines:
        columns = _named(line.strip())
        if columns is not None:
            if not HASH_TYPES.keys() & set(columns):
                raise ReadError(
                    f"{source.name}: its columns are {', '.join(columns)[:200]}; none is a supported hash"
                )
            if columns[-1] != "filename":
                raise ReadError(f"{source.name}: the header must end with filename, as hashdeep writes it")
            return columns
    raise ReadError(f"{source.name}: hashdeep's header (%%%% size,md5,sha256,filename) is missing")


def _named(line: bytes) -> list[str] | None:
    """The columns, when the line is the one that names them."""
    if not line.startswith(_MARK) or line.startswith(_MAGIC):
        return None
    text = line.removeprefix(_MARK).decode("utf-8", "replace")
    return [name.strip().lower() for name in text.split(",")]


def _without_headers(lines: Lines, columns: list[str], source_name: str) -> Lines:
    """Leave the headers out; there are several where listings were put together."""
    mark = lines.cells.buffer[lines.cells.starts] == _MARK[0]
    for row in np.flatnonzero(mark).tolist():
        line = lines.cells.text(row)
        mark[row] = line.startswith(_MARK)
        if _named(line) not in (None, columns):
            raise ReadError(
                f"{source_name}, line {lines.numbers[row]}: this header names other columns than the first; "
                "split the file into its listings"
            )
    return lines.keep(~mark) if mark.any() else lines


def _read_block(lines: Lines, columns: list[str], on_reject: Callable[[Reject], None]) -> Rows | None:
    text, shape = lines.cells.buffer, (len(columns), len(lines))
    starts, lengths, fields = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.empty(len(lines), np.int64)
    _split(text, lines.cells.starts, lines.cells.lengths, starts, lengths, fields)
    broken = {
        row: f"expected {len(columns)} columns, got {fields[row]}"
        for row in np.flatnonzero(fields != len(columns)).tolist()
    }
    cells = {name: Cells(text, starts[place], lengths[place]) for place, name in enumerate(columns)}
    return assemble(
        lines.numbers,
        [decode_cells(look_up(name), cells[name]) for name in HASH_TYPES if name in cells],
        names=cells["filename"],
        broken=broken,
        raw=lines.cells.text,
        on_reject=on_reject,
    )
