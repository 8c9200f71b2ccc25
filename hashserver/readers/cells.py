"""From cells, spans of text in a buffer, to rows: the step that all text formats share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HashType
from hashcore.pictures.pdq import LEAST_QUALITY
from hashcore.rows import Categories, Digests, HashColumn, Reject, Rows, Strings
from hashcore.text.hexcodec import OK, decode_hex, explain_invalid
from hashserver.readers.source import Source

MOST_REJECT_BYTES = 1000
_MOST_CATEGORY_BYTES = 200
_QUOTE = 0x22


@dataclass(frozen=True, slots=True)
class Cells:
    """One column of a block as spans of its text.

    Args:
        buffer: uint8[size].
        starts, lengths: int64[n].
        doubled: bool[n], cells in which a quote stands for two; None: none.
    """

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    doubled: NDArray[np.bool_] | None = None

    def text(self, row: int) -> bytes:
        """The bytes of one cell as they stand."""
        return self.buffer[self.starts[row] : self.starts[row] + self.lengths[row]].tobytes()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A hash column after decoding.

    Args:
        hash_type: of the column.
        digests: uint8[n, width].
        present: bool[n], cells that are not empty.
        bad: bool[n], cells that are neither empty nor a hash.
        explain: says what is wrong with a bad one.
    """

    hash_type: HashType
    digests: Digests
    present: NDArray[np.bool_]
    bad: NDArray[np.bool_]
    explain: Callable[[int], str]


@nb.njit(cache=True, nogil=True)
def _trim(buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    for i in range(starts.shape[0]):
        first, last = starts[i], starts[i] + lengths[i]
        while first < last and (buffer[first] == 0x20 or buffer[first] == 0x09):
            first += 1
        while last > first and (buffer[last - 1] == 0x20 or buffer[last - 1] == 0x09):
            last -= 1
        starts[i], lengths[i] = first, last - first


@nb.njit(cache=True, nogil=True)
def _copy_spans(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    doubled: NDArray[np.bool_],
    out: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> bool:
    """Copy spans back to back, undoing doubled quotes; returns whether a byte is not ASCII."""
    at = 0
    union = np.uint8(0)
    for i in range(starts.shape[0]):
        offsets[i] = at
        start = starts[i]
        j = 0
        while j < lengths[i]:
            character = buffer[start + j]
            union |= character
            out[at] = character
            at += 1
            if doubled[i] and character == _QUOTE:
                j += 1
            j += 1
    offsets[starts.shape[0]] = at
    return bool(union >= 0x80)


def cells_of(values: Sequence[bytes]) -> Cells:
    """Lay values out as cells."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    buffer = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    return Cells(buffer, np.cumsum(lengths) - lengths, lengths)


def trim(cells: Cells) -> None:
    """Leave out the spaces and tabs around each cell, in place."""
    _trim(cells.buffer, cells.starts, cells.lengths)


def decode_cells(hash_type: HashType, cells: Cells) -> Decoded:
    """Decode a column of hashes in hexadecimal; white space around them is left out."""
    digests, status, wrong = decode_hex(hash_type, cells.buffer, cells.starts, cells.lengths)
    if wrong:
        trim(cells)
        digests, status, wrong = decode_hex(hash_type, cells.buffer, cells.starts, cells.lengths)
    present = cells.lengths > 0
    bad = (status != OK) & present if wrong else np.zeros(len(present), np.bool_)

    def explain(row: int) -> str:
        return f"{hash_type.name}: {explain_invalid(hash_type, cells.text(row))}"

    return Decoded(hash_type, digests, present, bad, explain)


def _strings(cells: Cells) -> tuple[Strings, bool]:
    doubled = cells.doubled if cells.doubled is not None else np.zeros(len(cells.starts), np.bool_)
    data = np.empty(int(cells.lengths.sum()), np.uint8)
    offsets = np.empty(len(cells.starts) + 1, np.int64)
    beyond_ascii = _copy_spans(cells.buffer, cells.starts, cells.lengths, doubled, data, offsets)
    return Strings(data[: offsets[-1]], offsets), bool(beyond_ascii)


def strings_of(cells: Cells) -> Strings:
    """Copy a column out, whatever its bytes."""
    return _strings(cells)[0]


def _not_utf8(strings: Strings) -> NDArray[np.bool_]:
    """Which strings are not UTF-8."""
    wrong = np.zeros(len(strings), np.bool_)
    try:
        strings.data.tobytes().decode()
    except UnicodeDecodeError:
        pass
    else:
        firsts = strings.data[strings.offsets[:-1][np.diff(strings.offsets) > 0]]
        if not ((firsts & 0xC0) == 0x80).any():
            return wrong  # whole and not cut within a character, or a string would begin with a continuation
    for row in range(len(strings)):
        try:
            strings[row].decode()
        except UnicodeDecodeError:
            wrong[row] = True
    return wrong


def _text_column(cells: Cells, name: str, reasons: dict[int, str]) -> Strings:
    """Copy a column out as UTF-8; what is not is taken for Windows-1252, as Excel writes it."""
    trim(cells)
    strings, beyond_ascii = _strings(cells)
    if not beyond_ascii or not (wrong := _not_utf8(strings)).any():
        return strings
    values = [strings[row] for row in range(len(strings))]
    for row in np.flatnonzero(wrong).tolist():
        try:
            values[row] = values[row].decode("cp1252").encode()
        except UnicodeDecodeError:
            reasons.setdefault(row, f"{name}: the text is neither UTF-8 nor Windows-1252")
    return Strings.of(values)


@dataclass(frozen=True, slots=True)
class Quality:
    """Which rows have perceptual hashes that are too vague to be matched.

    Args:
        low: by row, what the file says of the quality.
        left_out: called with the number of hashes that are left out of rows which are taken.
    """

    low: dict[int, str]
    left_out: Callable[[int], None]


def quality_of(cells: Cells | None, source: Source) -> Quality | None:
    """What a column says of the quality of the perceptual hashes; None when there is none."""
    if cells is None:
        return None
    trim(cells)
    written = categories_of(strings_of(cells))
    is_low = np.array([*map(_is_low, written.names), False], np.bool_)  # the last: an empty cell
    low = {row: written.names[written.codes[row]][:20] for row in np.flatnonzero(is_low[written.codes]).tolist()}

    def count(hashes: int) -> None:
        source.hashes_left_out += hashes

    return Quality(low, count)


def _is_low(quality: str) -> bool:
    try:
        return float(quality.replace(",", ".")) < LEAST_QUALITY
    except ValueError:
        return False  # a word, which says nothing that is known here


def _without_vague(hashes: list[Decoded], quality: Quality, reasons: dict[int, str]) -> list[Decoded]:
    """Leave perceptual hashes of low quality out; a row that has nothing else is rejected."""
    rows = np.array([row for row in quality.low if row not in reasons], np.int64)
    if not len(rows):
        return hashes
    others = np.zeros(len(rows), np.bool_)
    for column in hashes:
        others |= not column.hash_type.is_near and column.present[rows]
    kept, left_out = [], 0
    for column in hashes:
        if column.hash_type.name not in ("pdq", "phash"):
            kept.append(column)
            continue
        vague = rows[column.present[rows] & others]
        for row in rows[column.present[rows] & ~others].tolist():
            low = f"quality {quality.low[row]} is below {LEAST_QUALITY}, too vague to be matched"
            reasons.setdefault(row, f"{column.hash_type.name}: {low}")
        present, digests = column.present.copy(), column.digests.copy()
        present[vague], digests[vague] = False, 0
        left_out += len(vague)
        kept.append(replace(column, present=present, digests=digests))
    quality.left_out(left_out)
    return kept


def categories_of(strings: Strings) -> Categories:
    """Number the distinct strings of a column; an empty one counts as no category."""
    import pyarrow as pa

    offsets, data = pa.py_buffer(strings.offsets), pa.py_buffer(strings.data)
    array = pa.Array.from_buffers(pa.large_binary(), len(strings), [None, offsets, data])
    encoded = array.dictionary_encode()
    names = [value.decode("utf-8", "replace") for value in encoded.dictionary.to_pylist()]
    codes = np.asarray(encoded.indices).astype(np.int32)
    if "" in names:
        empty = names.index("")
        codes = np.where(codes == empty, -1, codes).astype(np.int32)
    return Categories(codes, names)


def assemble(
    lines: NDArray[np.int64],
    hashes: list[Decoded],
    *,
    category: Cells | None = None,
    ids: Cells | None = None,
    names: Cells | None = None,
    quality: Quality | None = None,
    broken: dict[int, str],
    raw: Callable[[int], bytes],
    on_reject: Callable[[Reject], None],
) -> Rows | None:
    """Put a block together, and turn away the rows that cannot be taken.

    Args:
        lines: int64[n], where each row stands.
        hashes: its hash columns.
        category, ids, names: its other columns.
        quality: what is known of the quality of perceptual hashes.
        broken: rows already known to be wrong, and why.
        raw: a row as it stood.
        on_reject: called with every row that is not taken.

    Returns:
        The rows taken, or None when there are none.
    """
    reasons = dict(broken)
    if quality is not None and quality.low:
        hashes = _without_vague(hashes, quality, reasons)
    any_present = np.zeros(len(lines), np.bool_)
    for column in hashes:
        any_present |= column.present
        for row in np.flatnonzero(column.bad).tolist():
            reasons.setdefault(row, column.explain(row))
    for row in np.flatnonzero(~any_present).tolist():
        reasons.setdefault(row, "no hash in this row")
    category_strings = None if category is None else _text_column(category, "category", reasons)
    if category_strings is not None and len(category_strings):
        for row in np.flatnonzero(np.diff(category_strings.offsets) > _MOST_CATEGORY_BYTES).tolist():
            reasons.setdefault(row, f"category: longer than {_MOST_CATEGORY_BYTES} bytes")
    id_strings = None if ids is None else _text_column(ids, "id", reasons)
    name_strings = None if names is None else strings_of(names)
    for row in sorted(reasons):
        on_reject(Reject(int(lines[row]), reasons[row], raw(row)[:MOST_REJECT_BYTES]))
    if len(reasons) == len(lines):
        return None
    rows = Rows(
        lines,
        {
            column.hash_type.name: HashColumn(column.digests, None if column.present.all() else column.present)
            for column in hashes
        },
        None if category_strings is None else categories_of(category_strings),
        id_strings,
        name_strings,
    )
    return _without(rows, reasons) if reasons else rows


def _without(rows: Rows, reasons: dict[int, str]) -> Rows:
    """Leave out some rows."""
    from hashcore.arrays.gather import gather_strings

    keep = np.ones(len(rows), np.bool_)
    keep[list(reasons)] = False
    chosen = np.flatnonzero(keep).astype(np.uint32)
    hashes = {}
    for name, column in rows.hashes.items():
        present = None if column.present is None else column.present[chosen]
        if present is not None and present.all():
            present = None
        if present is None or present.any():
            hashes[name] = HashColumn(np.ascontiguousarray(column.digests[chosen]), present)
    categories = rows.categories
    return Rows(
        rows.lines[chosen],
        hashes,
        None if categories is None else Categories(categories.codes[chosen], categories.names),
        None if rows.ids is None else gather_strings(rows.ids, chosen),
        None if rows.names is None else gather_strings(rows.names, chosen),
    )
