from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES
from hashserver.server.bodies.arrow import parse_arrow
from hashserver.server.bodies.request import CheckRequest, InvalidHash
from hashserver.server.problems import Problem, RequestLimits

LIMITS = RequestLimits()
Values = list[bytes | None]


def column(name: str, values: Values) -> pa.Array:
    return pa.array(values, pa.binary(HASH_TYPES[name].width))


def stream(batches: list[pa.RecordBatch], schema: pa.Schema | None = None, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, batches[0].schema if schema is None else schema, options=chosen) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def one_column(name: str, array: pa.Array) -> bytes:
    return stream([pa.record_batch([array], names=[name])])


def refused(body: bytes, limits: RequestLimits = LIMITS) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_arrow(body, limits)
    return caught.value


def status_of(body: bytes) -> int:
    """200 when a body is read; anything but a problem goes through."""
    try:
        request = parse_arrow(body, LIMITS)
    except Problem as problem:
        return problem.status
    assert set(read(request)) <= set(HASH_TYPES)
    return 200


def read(request: CheckRequest) -> dict[str, list[tuple[int, bytes]]]:
    found = {}
    for asked in request.asked:
        places = range(len(asked.digests)) if asked.index is None else asked.index.tolist()
        assert asked.digests.flags.c_contiguous
        assert asked.digests.dtype == np.uint8
        digests = [row.tobytes() for row in asked.digests]
        found[asked.hash_type.name] = list(zip(places, digests, strict=True))
    return found


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Values]]]:
    """Names of columns, and batches of their values."""
    names = draw(st.lists(st.sampled_from(list(HASH_TYPES)), max_size=3, unique=True))
    batches = []
    for rows in draw(st.lists(st.integers(0, 9), max_size=4)):
        batch = []
        for name in names:
            width = HASH_TYPES[name].width
            digest = st.binary(min_size=width, max_size=width)
            item = st.one_of(digest, digest, st.none()) if draw(st.booleans()) else digest
            batch.append(draw(st.lists(item, min_size=rows, max_size=rows)))
        batches.append(batch)
    return names, batches


@settings(max_examples=150, deadline=None)
@given(table=tables(), cut=st.integers(0, 5), mutable=st.booleans())
def test_rows_of_all_batches_are_read_in_order_and_nulls_are_named(
    table: tuple[list[str], list[list[Values]]], cut: int, mutable: bool
) -> None:
    names, batches = table
    schema = pa.schema([pa.field(name, pa.binary(HASH_TYPES[name].width)) for name in names])
    written = [
        pa.record_batch([column(*pair) for pair in zip(names, batch, strict=True)], schema=schema).slice(cut)
        for batch in batches
    ]
    body = stream(written, schema)
    request = parse_arrow(bytearray(body) if mutable else body, LIMITS)
    expected: dict[str, list[tuple[int, bytes]]] = {name: [] for name in names}
    missing = []
    for place, name in enumerate(names):
        values = [value for batch in batches for value in batch[place][cut:]]
        expected[name] = [(index, value) for index, value in enumerate(values) if value is not None]
        missing += [
            InvalidHash(name, index, "null is not a hash") for index, value in enumerate(values) if value is None
        ]
    assert read(request) == expected
    assert request.invalid == missing


def test_the_rows_of_one_batch_are_viewed_without_a_copy() -> None:
    body = one_column("md5", column("md5", [bytes(range(16))] * 100))
    digests = parse_arrow(body, LIMITS).asked[0].digests
    assert np.shares_memory(digests, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused_with_what_to_do_instead(codec: str) -> None:
    batch = pa.record_batch([column("md5", [bytes(16)] * 1000)], names=["md5"])
    problem = refused(stream([batch], compression=codec))
    assert problem.status == 422
    assert "Content-Encoding" in problem.detail


def test_a_compressed_bomb_is_refused_before_it_is_unpacked() -> None:
    batch = pa.record_batch([pa.array(np.zeros(4 << 20, "S16"), pa.binary(16))], names=["md5"])
    body = stream([batch], compression="zstd")
    assert len(body) < 1 << 20
    before = pa.total_allocated_bytes()
    assert refused(body).status == 422
    assert pa.total_allocated_bytes() - before < 1 << 20


@pytest.mark.parametrize(
    "array",
    [
        column("md5", [bytes(16)]).dictionary_encode(),
        pa.array([bytes(16)], pa.binary()),
        pa.array(["00" * 16], pa.string()),
        pa.array([bytes(20)], pa.binary(20)),
        pa.array([bytes(15)], pa.binary(15)),
        pa.array([b""], pa.binary(0)),
        pa.array([1], pa.int64()),
        pa.array([[bytes(16)]], pa.list_(pa.binary(16))),
        pa.array([{"md5": bytes(16)}], pa.struct([pa.field("md5", pa.binary(16))])),
        pa.ExtensionArray.from_storage(pa.uuid(), column("md5", [bytes(16)])),
        pa.nulls(3),
    ],
    ids=lambda array: str(array.type)[:30],
)
def test_a_column_of_another_type_is_refused_with_the_type_it_has_to_be(array: pa.Array) -> None:
    problem = refused(one_column("md5", array))
    assert problem.status == 422
    assert "fixed_size_binary[16]" in problem.detail
    assert problem.extra == {"pointer": "/md5"}


@pytest.mark.parametrize(("name", "pointer"), [("md6", "/md6"), ("MD5", "/MD5"), ("", "/"), ("a/b", "/a~1b")])
def test_a_column_that_no_hash_type_names_is_refused(name: str, pointer: str) -> None:
    problem = refused(one_column(name, column("md5", [bytes(16)])))
    assert problem.status == 422
    assert problem.extra == {"pointer": pointer}


def test_a_long_column_name_is_not_repeated_whole() -> None:
    assert len(refused(one_column("x" * 100_000, column("md5", []))).to_bytes()) < 1000


def test_a_column_name_that_stands_twice_is_refused() -> None:
    array = column("md5", [bytes(16)])
    problem = refused(stream([pa.record_batch([array, array], names=["md5", "md5"])]))
    assert problem.status == 422
    assert "twice" in problem.detail


def test_more_rows_than_a_request_may_hold_are_refused_nulls_included() -> None:
    limits = RequestLimits(max_hashes=4)
    good = pa.record_batch([column("md5", [bytes(16), None])], names=["md5"])
    assert len(parse_arrow(stream([good, good]), limits).invalid) == 2
    assert refused(stream([good, good, good]), limits).status == 413
    both = pa.record_batch(
        [column("md5", [None] * 3), column("pdq", [None] * 2 + [bytes(32)])], names=["md5", "pdq"]
    )
    assert refused(stream([both]), limits).status == 413


@pytest.fixture(scope="module")
def sound() -> bytes:
    rows = [bytes([n]) * 16 if n % 5 else None for n in range(10)]
    batch = pa.record_batch(
        [column("md5", rows), column("phash", [bytes([n]) * 8 for n in range(10)])], ["md5", "phash"]
    )
    return stream([batch, batch.slice(3)])


def test_a_stream_cut_anywhere_is_refused_or_ends_between_two_messages(sound: bytes) -> None:
    """A stream may end without its end marker; then whole batches are read and nothing else."""
    whole = []
    for end in range(len(sound)):
        status = status_of(sound[:end])
        if status == 200:
            whole.append(len(read(parse_arrow(sound[:end], LIMITS))["md5"]))
        else:
            assert status == 400
    assert set(whole) == {0, 8, 14}


@settings(max_examples=400, deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 2),
            st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_changed_stream_is_read_or_refused(sound: bytes, edits: list[tuple[float, int, int]]) -> None:
    changed = bytearray(sound)
    for where, remove, byte in edits:
        at = int(where * len(changed))
        changed[at : at + remove] = bytes([byte])
    assert status_of(bytes(changed)) in (200, 400, 413, 422)


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_a_stream_with_any_byte_replaced_is_read_or_refused(sound: bytes, byte: int) -> None:
    for at in range(len(sound)):
        assert status_of(sound[:at] + bytes([byte]) + sound[at + 1 :]) in (200, 400, 413, 422)


@settings(max_examples=200, deadline=None)
@given(head=st.sampled_from([b"", b"\xff\xff\xff\xff", b"ARROW1\x00\x00"]), rest=st.binary(max_size=100))
def test_arbitrary_bytes_are_refused(head: bytes, rest: bytes) -> None:
    assert refused(head + rest).status == 400


def test_a_file_instead_of_a_stream_is_refused() -> None:
    batch = pa.record_batch([column("md5", [bytes(16)])], names=["md5"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert refused(bytes(sink.getvalue())).status == 400


def test_a_tensor_instead_of_a_table_is_refused() -> None:
    sink = pa.BufferOutputStream()
    pa.ipc.write_tensor(pa.Tensor.from_numpy(np.zeros((4, 4))), sink)
    assert refused(bytes(sink.getvalue())).status == 400
