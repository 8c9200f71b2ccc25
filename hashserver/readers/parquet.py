"""Parquet: columns by name, hashes as hexadecimal text or as bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HashType
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.cells import Cells, Decoded, assemble, decode_cells, quality_of
from hashserver.readers.columns import Meaning, by_header
from hashserver.readers.errors import ReadError
from hashserver.readers.etags import InventoryColumns, columns_in, take_checkable
from hashserver.readers.head import Head
from hashserver.readers.read_ahead import read_ahead
from hashserver.readers.source import Source

BATCH_ROWS = 1 << 16


def looks_like_parquet(head: Head) -> bool:
    """Whether a file begins as Parquet does."""
    return head.text.startswith(b"PAR1")


def read_parquet(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Rows]:
    """Read Parquet; see `hashserver.readers.read_rows`. A line is the number of a row, from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with source.seekable() as file:
        with _refusing(source.name, pa.ArrowException, OSError, UnicodeDecodeError):
            parquet = pq.ParquetFile(file)
            names = parquet.schema_arrow.names
        meaning = by_header(names, hash_type, source.columns)
        inventory = columns_in(names) if meaning is None else None
        if inventory is not None:
            yield from _read_inventory(parquet, inventory, names, batch_rows, source, on_reject)
            return
        if meaning is None:
            raise ReadError(
                f"{source.name}: no column is named by a hash type; its columns are {', '.join(names)[:200]}"
            )
        wanted = sorted({names[position] for position in meaning.positions})
        source.ignored_columns = list(meaning.ignored)
        line = 1
        # Two stages side by side: Arrow decodes the next batch while kernels decode this one's
        # digits.
        with closing(read_ahead(_batches(parquet, batch_rows, wanted, source.name))) as batches:
            for batch in batches:
                with _refusing(source.name, pa.ArrowException):
                    rows = _read_batch(batch, meaning, names, line, on_reject, source)
                line += batch.num_rows
                if rows is not None:
                    yield rows


def _read_inventory(
    parquet: Any,
    columns: InventoryColumns,
    names: list[str],
    batch_rows: int,
    source: Source,
    on_reject: Callable[[Reject], None],
) -> Iterator[Rows]:
    """Read an S3 inventory, whose ETags are MD5s or not."""
    import pyarrow as pa

    wanted = sorted({names[p] for p in (columns.key, columns.etag, columns.encryption) if p is not None})
    line = 1
    with closing(read_ahead(_batches(parquet, batch_rows, wanted, source.name))) as batches:
        for batch in batches:

            def text(position: int, batch: Any = batch) -> Cells:
                return _text_cells(_as_text(_column(batch, names[position]), names[position], source.name))

            with _refusing(source.name, pa.ArrowException):
                rows = take_checkable(
                    source,
                    etags=text(columns.etag),
                    keys=text(columns.key),
                    encryption=None if columns.encryption is None else text(columns.encryption),
                    lines=np.arange(line, line + batch.num_rows, dtype=np.int64),
                    broken={},
                    raw=lambda row, batch=batch: _raw(batch, row),  # type: ignore[misc]
                    on_reject=on_reject,
                    quoted=False,
                )
            line += batch.num_rows
            if rows is not None:
                yield rows


def _batches(parquet: Any, batch_rows: int, wanted: list[str], source_name: str) -> Generator[Any, None, None]:
    import pyarrow as pa

    with _refusing(source_name, pa.ArrowException, OSError):
        for batch in parquet.iter_batches(batch_rows, columns=wanted):
            batch.validate()
            yield batch


@contextmanager
def _refusing(source_name: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn Arrow's errors into ours."""
    try:
        yield
    except kinds as error:
        reason = str(error).partition("\n")[0][:200]
        raise ReadError(f"{source_name} is not a valid Parquet file: {reason}") from error


def _read_batch(
    batch: Any,
    meaning: Meaning,
    names: list[str],
    first_line: int,
    on_reject: Callable[[Reject], None],
    source: Source,
) -> Rows | None:
    source_name = source.name

    def column(position: int | None) -> Any:
        return None if position is None else _column(batch, names[position])

    def text(position: int | None) -> Cells | None:
        array = column(position)
        return None if array is None else _text_cells(_as_text(array, names[position or 0], source_name))

    hashes = [
        _decode(look_up(name), column(position), names[position], source_name)
        for name, position in meaning.hashes.items()
    ]
    return assemble(
        np.arange(first_line, first_line + batch.num_rows, dtype=np.int64),
        hashes,
        category=text(meaning.category),
        ids=text(meaning.id),
        names=text(meaning.name),
        quality=quality_of(text(meaning.quality), source),
        broken={},
        raw=lambda row: _raw(batch, row),
        on_reject=on_reject,
    )


def _column(batch: Any, name: str) -> Any:
    """The first column of that name; a file may have several."""
    return batch.column(batch.schema.names.index(name))


def _raw(batch: Any, row: int) -> bytes:
    return repr({name: _value(_column(batch, name)[row]) for name in batch.schema.names}).encode()


def _value(scalar: Any) -> Any:
    """A cell for the reject file, also one that Python cannot hold, such as nanoseconds."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return scalar.as_buffer().to_pybytes() if hasattr(scalar, "as_buffer") else str(scalar.type)


def _decode(hash_type: HashType, array: Any, name: str, source_name: str) -> Decoded:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    if pa.types.is_fixed_size_binary(array.type) and array.type.byte_width == hash_type.width:
        return _decode_packed(hash_type, array)
    if pa.types.is_fixed_size_binary(array.type):
        array = pc.cast(array, pa.binary())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        lengths = pc.binary_length(array)
        if len(array) and pc.all(pc.fill_null(pc.equal(lengths, hash_type.width), True)).as_py():
            return _decode_packed(
                hash_type, pc.cast(array.fill_null(bytes(hash_type.width)), pa.binary(hash_type.width)), array
            )
        return _decode_mixed(hash_type, array, np.asarray(pc.fill_null(lengths, -1)) == hash_type.width)
    return decode_cells(hash_type, _text_cells(_as_text(array, name, source_name)))


def _decode_mixed(hash_type: HashType, array: Any, is_packed: NDArray[np.bool_]) -> Decoded:
    """Decode a column in which some values are digests, and others text or of the wrong length."""
    cells = _text_cells(array)
    starts = cells.starts.copy()
    decoded = decode_cells(
        hash_type, Cells(cells.buffer, cells.starts.copy(), np.where(is_packed, 0, cells.lengths))
    )
    rows = np.flatnonzero(is_packed)
    if len(rows):
        decoded.digests[rows] = cells.buffer[starts[rows][:, None] + np.arange(hash_type.width)]
        decoded.present[rows] = True

    def explain(row: int) -> str:
        size = int(cells.lengths[row])
        name, width, digits = hash_type.name, hash_type.width, hash_type.hex_digits
        return f"{name}: expected {width} bytes or {digits} hexadecimal digits, got {size} bytes"

    return replace(decoded, explain=explain)


def _decode_packed(hash_type: HashType, array: Any, nulls: Any = None) -> Decoded:
    present = np.asarray((array if nulls is None else nulls).is_valid(), np.bool_)
    start = array.offset * hash_type.width
    values = np.frombuffer(array.buffers()[1] or b"", np.uint8)[start : start + len(array) * hash_type.width]
    digests = values.reshape(len(array), hash_type.width)
    if not present.all():
        digests = np.where(present[:, None], digests, np.uint8(0))
    return Decoded(hash_type, digests, present, np.zeros(len(array), np.bool_), lambda row: "")


def _as_text(array: Any, name: str, source_name: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return array if _is_text(array.type) else pc.cast(array, pa.string())
    except pa.ArrowException as error:
        raise ReadError(
            f"{source_name}: column {name} is {str(array.type)[:80]}; it must be text, or bytes for a hash"
        ) from error


def _is_text(arrow_type: Any) -> bool:
    import pyarrow as pa

    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(check(arrow_type) for check in checks)


def _text_cells(array: Any) -> Cells:
    """View a text column's buffers as cells; nulls are empty."""
    import pyarrow as pa

    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offset_buffer, data = array.buffers()
    offsets: NDArray[Any] = np.frombuffer(offset_buffer or b"", np.int64 if wide else np.int32)
    offsets = offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)
    if not len(array):
        offsets = np.zeros(1, np.int64)
    lengths = np.diff(offsets)
    if array.null_count:
        lengths = np.where(np.asarray(array.is_valid(), np.bool_), lengths, 0)
    return Cells(np.frombuffer(data or b"", np.uint8), offsets[:-1].copy(), lengths)
