"""CSV of ThreatExchange, StopNCII and the like: a hash in one column, its type in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.cells import (
    Cells,
    Decoded,
    assemble,
    categories_of,
    decode_cells,
    quality_of,
    strings_of,
    trim,
)
from hashserver.readers.columns import by_header, role_of
from hashserver.readers.csv_text import Layout, Records, read_records, usual_cells
from hashserver.readers.errors import ReadError
from hashserver.readers.head import Head
from hashserver.readers.source import Source

_INDICATORS = ("indicator", "signal", "hash", "hash_value", "hashvalue")
_TYPE_COLUMNS = ("type", "indicator_type", "signal_type", "signaltype", "hash_type", "hashtype")
_IDS = ("id", "indicator_id", "descriptor_id")
_TYPES = {
    "video_md5": "md5",
    "hash_video_md5": "md5",
    "videomd5": "md5",
    "imagepdq": "pdq",
    "imagephotodna": "photodna",
} | {prefix + name: name for name in HASH_TYPES for prefix in ("", "hash_")}


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions of the columns that are read, and how many there are."""

    indicator: int
    type: int
    id: int | None
    category: int | None
    quality: int | None
    count: int


def looks_like(head: Head) -> bool:
    """Whether the header names an indicator and its type, and no hash type."""
    fields = _header(head)
    return by_header(fields) is None and _find(fields) is not None


def read_exchange_csv(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read rows of hash and type; see `hashserver.readers.read_rows`. Each row names its type."""
    head = source.head
    if head.has_no_record:
        return
    columns = _find(_header(head))
    if columns is None:
        raise ReadError(f"{source.name}: the header must name the columns indicator and type")
    wanted = (columns.indicator, columns.type, columns.id, columns.category, columns.quality)
    layout = Layout(
        frozenset(place for place in wanted if place is not None),
        columns.count,
        header=True,
        cells=usual_cells(head, columns.count, header=True),
    )
    source.ignored_columns = [name for place, name in enumerate(_header(head)) if place not in wanted]
    for records in read_records(source, head.delimiter, layout, on_reject, block_bytes):
        rows = _assemble(records, columns, source, on_reject)
        if rows is not None:
            yield rows


def _header(head: Head) -> list[str]:
    return next(iter(head.records(head.delimiter)), [])


def _find(fields: Sequence[str]) -> _Columns | None:
    names = [field.strip().strip('"').lower() for field in fields]

    def first(known: Sequence[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    indicator, type_column = first(_INDICATORS), first(_TYPE_COLUMNS)
    if indicator is None or type_column is None:
        return None
    roles = [role_of(name) for name in names]
    category, quality = (roles.index(role) if role in roles else None for role in ("category", "quality"))
    return _Columns(indicator, type_column, first(_IDS), category, quality, len(names))


def _assemble(
    records: Records, columns: _Columns, source: Source, on_reject: Callable[[Reject], None]
) -> Rows | None:
    types = records.cells[columns.type]
    trim(types)
    named = categories_of(strings_of(types))
    known = [_TYPES.get(name.lower()) for name in named.names]
    broken = dict(records.broken)
    unknown = np.array([*(name is None for name in known), True], np.bool_)  # the last: no type at all
    for row in np.flatnonzero(unknown[named.codes]).tolist():
        code = named.codes[row]
        name = named.names[code][:40] if code >= 0 else ""
        broken.setdefault(row, f"type {name!r} is not a supported hash type")
    hashes = []
    for name in HASH_TYPES:
        mine = np.array([*(other == name for other in known), False], np.bool_)[named.codes]
        if mine.any():
            hashes.append(_column(name, records.cells[columns.indicator], mine))
    return assemble(
        records.lines,
        hashes,
        category=records.column(columns.category),
        ids=records.column(columns.id),
        quality=quality_of(records.column(columns.quality), source),
        broken=broken,
        raw=records.raw,
        on_reject=on_reject,
    )


def _column(name: str, cells: Cells, mine: NDArray[np.bool_]) -> Decoded:
    """The hashes of one type; the cells of other rows count as empty."""
    lengths = np.where(mine, cells.lengths, 0)
    return decode_cells(look_up(name), Cells(cells.buffer, cells.starts.copy(), lengths, cells.doubled))
