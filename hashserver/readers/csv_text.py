"""CSV: a compiled tokeniser, so that a row costs no Python object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import Cells, assemble, decode_cells, quality_of
from hashserver.readers.columns import Meaning, by_first_record, by_header
from hashserver.readers.errors import ReadError
from hashserver.readers.head import Head
from hashserver.readers.source import Source

_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_STRAY_QUOTE = -1  # in place of a row's number of fields


@nb.njit(cache=True, nogil=True)
def tokenise(
    text: NDArray[np.uint8],
    delimiter: int,
    final: bool,
    wanted: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    doubled: NDArray[np.bool_],
    fields: NDArray[np.int64],
    spans: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Split text into records and fields as RFC 4180 has it; LF and CRLF end records.

    Args:
        text: uint8[size].
        delimiter: the byte between fields.
        final: whether the text ends here, so that a record without a line end is whole.
        wanted: int64[columns], the slot of each column, or -1 for those not asked for.
        starts, lengths: int64[slots, rows], receive the spans of the fields asked for, without
            quotes.
        doubled: bool[slots, rows], set where quotes inside a field are doubled.
        fields: int64[rows], the number of fields of each record; -1 where text follows a closing
            quote, or where a quote is not closed, which ends the record with its first line.
        spans: int64[rows, 3], receives where each record begins and ends, and the line it begins
            on.

    Returns:
        Records, bytes taken, lines taken. Stops before a record that is not whole or finds no room.
        Blank lines are passed over. O(size).
    """
    size = text.shape[0]
    at, line, rows = 0, 0, 0
    taken, taken_lines = 0, 0
    while at < size and rows < fields.shape[0]:
        if text[at] == _LF or (text[at] == _CR and at + 1 < size and text[at + 1] == _LF):
            at += 1 if text[at] == _LF else 2
            line += 1
            taken, taken_lines = at, line
            continue
        record, first_line = at, line
        column = 0
        stray = False
        whole = False
        for slot in range(starts.shape[0]):
            starts[slot, rows], lengths[slot, rows], doubled[slot, rows] = at, 0, False
        while True:
            twice = False
            if at < size and text[at] == _QUOTE:
                at += 1
                start = at
                closed = False
                while at < size:
                    if text[at] == _QUOTE:
                        if at + 1 < size and text[at + 1] == _QUOTE:
                            twice = True
                            at += 2
                            continue
                        closed = True
                        break
                    if text[at] == _LF:
                        line += 1
                    at += 1
                stop = at
                if closed:
                    at += 1
                else:
                    stray = True
                    if final:
                        # Nothing closes this quote: only its record's first line is lost.
                        at, line = record, first_line
                        while at < size and text[at] != _LF:
                            at += 1
                        stop = start
                while at < size and text[at] != delimiter and text[at] != _LF:
                    if text[at] != _CR:
                        stray = True
                    at += 1
            else:
                start = at
                while at < size and text[at] != delimiter and text[at] != _LF:
                    at += 1
                stop = at
                if stop > start and text[stop - 1] == _CR and (at >= size or text[at] == _LF):
                    stop -= 1
            if column < wanted.shape[0] and wanted[column] >= 0:
                slot = wanted[column]
                starts[slot, rows], lengths[slot, rows], doubled[slot, rows] = start, stop - start, twice
            column += 1
            if at >= size:
                whole = final
                break
            at += 1
            if text[at - 1] == _LF:
                line += 1
                whole = True
                break
        if not whole:
            break
        fields[rows] = _STRAY_QUOTE if stray else column
        spans[rows, 0], spans[rows, 1], spans[rows, 2] = record, at, first_line
        rows += 1
        taken, taken_lines = at, line
    if final and at >= size and rows < fields.shape[0]:
        taken, taken_lines = size, line
    return rows, taken, taken_lines


def find_meaning(head: Head, chosen: str | None, named: Mapping[str, str] | None = None) -> Meaning | None:
    """What the columns of a CSV file are, by its first record; None when none of them holds hashes.

    Args:
        head: of the file.
        chosen: the hash type that the user named.
        named: names of columns by what they hold, as the user gave them.

    Raises:
        ReadError: no column has such a name.
    """
    first = next(iter(head.records(head.delimiter)), [])
    return by_header(first, chosen, named) or by_first_record([cell.encode() for cell in first], chosen)


def read_csv(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read CSV in blocks; see `hashserver.readers.read_rows`."""
    head = source.head
    if head.has_no_record:
        return
    meaning = find_meaning(head, hash_type, source.columns)
    if meaning is None:
        raise ReadError(
            f"{source.name}: cannot tell which column holds hashes; give the file a header that names its columns "
            "(md5, sha1, sha256, pdq, phash, photodna, category, id), name the column with --column, or name the "
            "type with --type"
        )
    source.ignored_columns = list(meaning.ignored)
    layout = replace(layout_of(meaning), cells=usual_cells(head, meaning.columns, header=meaning.header))
    for records in read_records(source, head.delimiter, layout, on_reject, block_bytes):
        rows = _assemble(records, meaning, source, on_reject)
        if rows is not None:
            yield rows


def usual_cells(head: Head, columns: int, *, header: bool) -> int:
    """How many cells most records have: as many as there are columns, or one more.

    INTERPOL's CSV has one cell more in each row than in its header.
    """
    counts = [len(record) for record in head.records(head.delimiter)[int(header) :]]
    return columns + (2 * counts.count(columns + 1) > len(counts))


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a CSV file are wanted.

    Args:
        positions: of those that are.
        columns: how many there are.
        header: whether the first record names them.
        narrowest: bytes that a usual record has at least, by which room is made.
        cells: how many a usual record has; None: as many as there are columns, and all of them
            have to.
    """

    positions: frozenset[int]
    columns: int
    header: bool
    narrowest: int = 16
    cells: int | None = None


def layout_of(meaning: Meaning) -> Layout:
    """The columns that have a meaning."""
    return Layout(
        frozenset(meaning.positions),
        meaning.columns,
        meaning.header,
        min(look_up(name).hex_digits for name in meaning.hashes),
    )


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a block.

    Args:
        cells: the wanted columns by position; trimming one changes no other.
        lines: int64[n], where each begins.
        broken: those without the right number of columns, and why.
        spans: int64[n, 3], where each begins and ends in the text, and a line.
    """

    cells: dict[int, Cells]
    lines: NDArray[np.int64]
    broken: dict[int, str]
    spans: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, position: int | None) -> Cells | None:
        """A copy of the spans of a column, since one column may mean two things."""
        if position is None:
            return None
        cells = self.cells[position]
        return Cells(cells.buffer, cells.starts.copy(), cells.lengths.copy(), cells.doubled)

    def raw(self, row: int) -> bytes:
        """A record as it stands."""
        text = next(iter(self.cells.values())).buffer
        return text[self.spans[row, 0] : self.spans[row, 1]].tobytes().rstrip(b"\r\n")


def read_records(
    source: Source, delimiter: int, layout: Layout, on_reject: Callable[[Reject], None], block_bytes: int
) -> Iterator[Records]:
    """Cut CSV into blocks of records; only those that are too long are rejected here."""
    return Blocks(source, on_reject, block_bytes).cut(_Tokeniser(layout, delimiter).parse)


class _Tokeniser:
    """Turns one block of text after another into records."""

    def __init__(self, layout: Layout, delimiter: int) -> None:
        self._layout, self._delimiter = layout, delimiter
        self._positions = sorted(layout.positions)
        self._wanted = np.full(max(self._positions) + 1, -1, np.int64)
        self._wanted[self._positions] = np.arange(len(self._positions))
        self._header = layout.header
        self._some_whole = False

    def parse(self, text: NDArray[np.uint8], first_line: int, final: bool) -> tuple[Records, int, int]:
        """Find the whole records of a block; see `hashserver.readers.blocks.Parse`."""
        # Room for a block of plain rows; a block of shorter ones is taken in several rounds.
        room = len(text) // self._layout.narrowest + 16
        slots = len(self._positions)
        starts, lengths = np.empty((slots, room), np.int64), np.empty((slots, room), np.int64)
        doubled = np.empty((slots, room), np.bool_)
        fields, spans = np.empty(room, np.int64), np.empty((room, 3), np.int64)
        rows, taken, lines = tokenise(
            text, self._delimiter, final, self._wanted, starts, lengths, doubled, fields, spans
        )
        chosen = slice(1 if self._header and rows else 0, rows)
        self._header = self._header and not rows
        cells = {
            position: Cells(text, starts[slot, chosen], lengths[slot, chosen], doubled[slot, chosen])
            for slot, position in enumerate(self._positions)
        }
        ends = bool(final and taken == len(text) and len(text) and text[-1] != _LF)
        broken = self._explain(text, fields[chosen], spans[chosen], ends)
        records = Records(cells, spans[chosen, 2] + first_line, broken, spans[chosen])
        return records, int(taken), int(lines)

    def _explain(
        self, text: NDArray[np.uint8], fields: NDArray[np.int64], spans: NDArray[np.int64], unfinished: bool
    ) -> dict[int, str]:
        """The records that are not taken, and why.

        One that has fewer cells than it should has left out empty ones, as spreadsheets do, unless
        the text ends in the middle of it; one that has more may have empty ones in excess.
        """
        columns = self._layout.columns
        usual = columns if self._layout.cells is None else self._layout.cells
        odd = np.flatnonzero((fields != usual) & (fields != columns))
        if len(odd) < len(fields):
            self._some_whole = True
        broken = {}
        for row in odd.tolist():
            cells = int(fields[row])
            if cells == _STRAY_QUOTE:
                broken[row] = "a quote that is not closed, or text after a closing quote"
            elif self._layout.cells is None or (
                cells > usual and not self._has_only_empty(text, spans[row], cells - usual)
            ):
                broken[row] = f"expected {columns} columns, got {cells}"
            elif cells < usual and unfinished and row == len(fields) - 1 and self._some_whole:
                broken[row] = (
                    f"expected {columns} columns, got {cells}, and the file ends here: it is not complete"
                )
        return broken

    def _has_only_empty(self, text: NDArray[np.uint8], span: NDArray[np.int64], more: int) -> bool:
        """Whether a record's last cells are empty."""
        record = text[span[0] : span[1]].tobytes().rstrip(b"\r\n")
        return record.endswith(bytes([self._delimiter]) * more)


def _assemble(
    records: Records, meaning: Meaning, source: Source, on_reject: Callable[[Reject], None]
) -> Rows | None:
    # The other columns first: a hash's cells are trimmed in place.
    category, ids, names = map(records.column, (meaning.category, meaning.id, meaning.name))
    return assemble(
        records.lines,
        [decode_cells(look_up(name), records.cells[position]) for name, position in meaning.hashes.items()],
        category=category,
        ids=ids,
        names=names,
        quality=quality_of(records.column(meaning.quality), source),
        broken=records.broken,
        raw=records.raw,
        on_reject=on_reject,
    )
