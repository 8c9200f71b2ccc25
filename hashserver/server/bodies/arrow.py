"""Arrow IPC streams: fixed-size binary columns named by hash type."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hashcore.hashtypes import HashType
from hashserver.server.bodies.request import (
    Asked,
    CheckRequest,
    InvalidHash,
    check_count,
    known_type,
    places_of_good,
    pointer_to,
)
from hashserver.server.problems import RequestLimits, malformed, unprocessable

# Positions of fields in the tables of Arrow's Message.fbs.
_HEADER_TYPE, _HEADER = 1, 2
_RECORD_BATCH, _COMPRESSION = 3, 3


def parse_arrow(body: bytes | bytearray, limits: RequestLimits) -> CheckRequest:
    """Read a stream of record batches. An index counts rows over all batches.

    Raises:
        Problem: 400 when it is not a valid stream, 413 when there are too many hashes, 422 when a
            column is not named by a hash type, not fixed-size binary of its width, or its buffers
            are compressed.
    """
    import pyarrow as pa

    try:
        messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
        schema = pa.ipc.read_schema(_of_type(messages.read_next_message(), "schema"))
        hash_types = [_hash_type_of(field) for field in schema]
        if len(set(schema.names)) != len(schema.names):
            raise unprocessable("a column name appears twice in the Arrow schema; send one column per hash type")
        columns: list[list[Any]] = [[] for _ in hash_types]
        for message in messages:
            if _is_compressed(memoryview(message.metadata)):
                raise unprocessable(
                    "the buffers of the Arrow stream are compressed; compress the body with "
                    "Content-Encoding: zstd or gzip instead"
                )
            batch = pa.ipc.read_record_batch(_of_type(message, "record batch"), schema)
            batch.validate(full=True)
            for column, array in zip(columns, batch.columns, strict=True):
                column.append(array)
    except (pa.ArrowException, StopIteration, EOFError, OSError, ValueError, struct.error) as error:
        first = str(error).split("\n")[0][:200]
        raise malformed(f"the body is not a valid Arrow IPC stream: {first or type(error).__name__}") from None
    check_count(sum(len(array) for arrays in columns for array in arrays), limits)
    request = CheckRequest([], [])
    for hash_type, arrays in zip(hash_types, columns, strict=True):
        _collect(hash_type, arrays, request)
    return request


def _of_type(message: Any, expected: str) -> Any:
    # Arrow reads any message as what it is asked for, and reads memory that is not its own then.
    if message.type != expected:
        raise malformed(f"the Arrow stream has a {message.type} where a {expected} was expected")
    return message


def _hash_type_of(field: Any) -> HashType:
    import pyarrow as pa

    hash_type = known_type(field.name, pointer=pointer_to(field.name))
    if not pa.types.is_fixed_size_binary(field.type) or field.type.byte_width != hash_type.width:
        raise unprocessable(
            f"column {hash_type.name} is {str(field.type)[:80]}; it must be fixed_size_binary[{hash_type.width}]",
            pointer=pointer_to(hash_type.name),
        )
    return hash_type


def _collect(hash_type: HashType, arrays: list[Any], request: CheckRequest) -> None:
    items = sum(len(array) for array in arrays)
    bad: list[int] = []
    parts = []
    start = 0
    for array in arrays:
        part = _digests(array, hash_type.width)
        if array.null_count:
            missing = np.asarray(array.is_null(), np.bool_)
            bad.extend((np.flatnonzero(missing) + start).tolist())
            part = part[~missing]
        parts.append(part)
        start += len(array)
    digests = parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, hash_type.width), np.uint8), *parts])
    request.asked.append(Asked(hash_type, np.ascontiguousarray(digests), places_of_good(items, bad)))
    request.invalid.extend(InvalidHash(hash_type.name, index, "null is not a hash") for index in bad)


def _digests(array: Any, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    values = array.buffers()[1]
    if values is None or not len(array):
        return np.zeros((len(array), width), np.uint8)
    flat = np.frombuffer(values, np.uint8)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)


def _is_compressed(metadata: memoryview) -> bool:
    """Whether a message is a record batch with compressed buffers, read from its flatbuffer.

    pyarrow cannot be told not to decompress, and a few bytes can claim to unpack to any size.
    Anything that does not read as a flatbuffer raises struct.error.
    """
    root = struct.unpack_from("<I", metadata, 0)[0]
    kind_at = _field(metadata, root, _HEADER_TYPE)
    header_at = _field(metadata, root, _HEADER)
    if not kind_at or not header_at or metadata[kind_at] != _RECORD_BATCH:
        return False
    header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
    return _field(metadata, header, _COMPRESSION) != 0


def _field(metadata: memoryview, table: int, field: int) -> int:
    """Where a field of a flatbuffer table is; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise struct.error("a table without a vtable")
    size = struct.unpack_from("<H", metadata, vtable)[0]
    slot = 4 + 2 * field
    if slot + 2 > size:
        return 0
    offset = int(struct.unpack_from("<H", metadata, vtable + slot)[0])
    if not offset:
        return 0
    if table + offset >= len(metadata):
        raise struct.error("a field outside its message")
    return table + offset
