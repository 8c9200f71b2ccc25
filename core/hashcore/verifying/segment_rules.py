"""The rules for the columns of a segment, which lookups rely on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hashcore.arrays.columns import Column
from hashcore.disk.layout import Segment
from hashcore.hashtypes import HASH_TYPES, Rule
from hashcore.near.multiindex import Geometry
from hashcore.verifying.invariants import FINE, first_astray, first_descent, first_misfiled, first_unsorted, slabs

_Shape = tuple[tuple[int, ...], int | None]
"""The widths that a column may have, and how many items it has; None for any number."""


def broken_rules(segment: Segment, columns: dict[str, Column]) -> Iterator[str]:
    """Check the columns of a segment. O(rows).

    Args:
        segment: its header.
        columns: its undamaged columns; rules that need another one are not checked.

    Yields:
        A sentence for each rule that is broken.
    """
    where = f"segment {segment.number}"
    unknown = [hash_type for hash_type in segment.types if hash_type not in HASH_TYPES]
    if unknown or not segment.types:
        yield f"{where} has hash types that this program does not know: {', '.join(unknown) or 'none'}"
        return
    expected = _expected(segment)
    yield from _misshapen(segment, columns, expected)
    good = {name: column for name, column in columns.items() if name in expected and _fits(column, expected[name])}
    for hash_type in segment.types:
        if HASH_TYPES[hash_type].rule is Rule.EXACT:
            yield from _table(where, hash_type, segment, good)
        elif hash_type == segment.types[0] and hash_type in good:
            yield from _at(
                first_unsorted(good[hash_type]), f"column {hash_type} of {where} is not ascending at row"
            )
        for chunk in range(segment.chunks.get(hash_type, 0)):
            yield from _index(where, hash_type, chunk, segment.chunks[hash_type], good)
    yield from _labels(where, segment, good)
    yield from _ids(where, segment, good)


def _expected(segment: Segment) -> dict[str, _Shape]:
    """The columns that a segment must have according to the rest of its header."""
    rows = segment.rows
    shapes: dict[str, _Shape] = {}
    for hash_type in segment.types:
        shapes[hash_type] = ((HASH_TYPES[hash_type].width,), rows)
        if HASH_TYPES[hash_type].rule is Rule.EXACT:
            shapes[f"directory.{hash_type}"] = ((4,), (1 << _bits(segment, hash_type)) + 1)
            if hash_type != segment.types[0]:
                shapes[f"order.{hash_type}"] = ((4,), rows)
        chunks = segment.chunks.get(hash_type, 0)
        for chunk, bits in enumerate(Geometry(HASH_TYPES[hash_type].width, chunks).chunk_bits if chunks else []):
            shapes[f"index.{hash_type}.{chunk}"] = ((4,), (1 << bits) + 1)
            shapes[f"postings.{hash_type}.{chunk}"] = ((4,), rows)
    if len(segment.labels) > 1:
        shapes["label"] = ((1, 2, 4), rows)
    if "id_offsets" in segment.columns or "id_data" in segment.columns:
        shapes["id_offsets"] = ((4, 8), rows + 1)
        shapes["id_data"] = ((1,), None)
    return shapes


def _bits(segment: Segment, hash_type: str) -> int:
    return min(max(1, segment.directory_bits.get(hash_type, 1)), 32)


def _fits(column: Column, shape: _Shape) -> bool:
    widths, items = shape
    return column.width in widths and (items is None or len(column) == items)


def _misshapen(segment: Segment, columns: dict[str, Column], expected: dict[str, _Shape]) -> Iterator[str]:
    for name, (widths, items) in expected.items():
        where = f"column {name} of segment {segment.number}"
        if name not in segment.columns:
            yield f"{where} is not described in the segment's header"
        elif name in columns and not _fits(columns[name], (widths, items)):
            number = "any number" if items is None else f"{items:,}"
            yield (
                f"{where} has {len(columns[name]):,} items of {columns[name].width} bytes instead of {number} of "
                f"{' or '.join(map(str, widths))} bytes"
            )
    for name in sorted(segment.columns.keys() - expected.keys()):
        yield f"column {name} of segment {segment.number} has no purpose in the segment's header"


def _table(where: str, hash_type: str, segment: Segment, good: dict[str, Column]) -> Iterator[str]:
    digests, order, directory = (
        good.get(hash_type),
        good.get(f"order.{hash_type}"),
        good.get(f"directory.{hash_type}"),
    )
    if digests is None or (order is None and hash_type != segment.types[0]):
        return
    unsorted = first_unsorted(digests, order)
    if unsorted != FINE and order is None:
        yield f"column {hash_type} of {where} is not ascending at row {unsorted:,}"
    elif unsorted != FINE:
        yield f"column order.{hash_type} of {where} does not list all rows in order, at rank {unsorted:,}"
    elif directory is not None:
        astray = first_astray(digests, order, directory, _bits(segment, hash_type))
        yield from _at(astray, f"column directory.{hash_type} of {where} does not lead to rank")
        yield from _bounds(where, f"directory.{hash_type}", directory, len(digests))


def _index(where: str, hash_type: str, chunk: int, chunks: int, good: dict[str, Column]) -> Iterator[str]:
    names = (hash_type, f"index.{hash_type}.{chunk}", f"postings.{hash_type}.{chunk}")
    codes, directory, postings = (good.get(name) for name in names)
    if codes is None or directory is None or postings is None:
        return
    misfiled = first_misfiled(codes, Geometry(codes.width, chunks), chunk, directory, postings)
    yield from _at(misfiled, f"column {names[2]} of {where} does not agree with {names[1]} at posting")
    yield from _bounds(where, names[1], directory, len(codes))


def _bounds(where: str, name: str, directory: Column, rows: int) -> Iterator[str]:
    """Check that a directory rises from 0 to the number of rows."""
    yield from _at(first_descent(directory), f"column {name} of {where} decreases at slot")
    ends = _number(directory, 0), _number(directory, len(directory) - 1)
    if ends != (0, rows):
        yield f"column {name} of {where} goes from {ends[0]:,} to {ends[1]:,} instead of from 0 to {rows:,}"


def _labels(where: str, segment: Segment, good: dict[str, Column]) -> Iterator[str]:
    rows = segment.label_rows
    if len(rows) != len(segment.labels) or sum(rows) != segment.rows:
        yield f"{where} has {segment.rows:,} rows, but its labels count {sum(rows):,}"
        return
    if "label" not in good:
        return
    found = np.zeros(len(rows), np.int64)
    for start, labels in slabs(good["label"]):
        if int(labels.max()) >= len(rows):
            at = start + int(np.argmax(labels >= len(rows)))
            yield f"column label of {where} has an unknown label at row {at:,}"
            return
        found += np.bincount(labels, minlength=len(rows))
    if found.tolist() != rows:
        yield f"column label of {where} counts the rows of each label differently from the segment's header"


def _ids(where: str, segment: Segment, good: dict[str, Column]) -> Iterator[str]:
    offsets = good.get("id_offsets")
    if offsets is None or "id_data" not in segment.columns:
        return
    yield from _at(first_descent(offsets), f"column id_offsets of {where} decreases at row")
    ends = _number(offsets, 0), _number(offsets, len(offsets) - 1)
    held = segment.columns["id_data"].items
    if ends != (0, held):
        yield f"column id_offsets of {where} goes from {ends[0]:,} to {ends[1]:,} instead of from 0 to {held:,}"


def _number(column: Column, item: int) -> int:
    return int.from_bytes(column.read(item, 1), "little")


def _at(position: int, sentence: str) -> Iterator[str]:
    if position != FINE:
        yield f"{sentence} {position:,}"
