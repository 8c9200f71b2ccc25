"""Tests of `hashserver.readers.parquet`."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, Row, Taken, collect, read, source_of

from hashcore.rows import Reject
from hashserver.readers import ReadError, open_source, read_rows
from hashserver.readers.parquet import read_parquet


def packed(columns: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def read_batches(data: bytes, batch_rows: int) -> Taken:
    return collect(
        lambda on_reject: read_parquet(source_of(data), hash_type=None, on_reject=on_reject, batch_rows=batch_rows)
    )


DIGESTS = [bytes.fromhex(MD5), None, bytes.fromhex(OTHER_MD5)]
HEX = [MD5.upper(), None, OTHER_MD5]

COLUMNS = {
    "text": pa.array(HEX),
    "large text": pa.array(HEX, pa.large_string()),
    "dictionary of text": pa.array(HEX).dictionary_encode(),
    "hexadecimal in binary": pa.array([value and value.encode() for value in HEX], pa.binary()),
    "fixed-size binary": pa.array(DIGESTS, pa.binary(16)),
    "binary": pa.array(DIGESTS, pa.binary()),
    "large binary": pa.array(DIGESTS, pa.large_binary()),
    "dictionary of binary": pa.array(DIGESTS, pa.binary()).dictionary_encode(),
    "hexadecimal in fixed-size binary": pa.array([value and value.encode() for value in HEX], pa.binary(32)),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("batch_rows", [1, 2, 3, 1000])
def test_hashes_come_as_text_or_bytes_and_nulls_are_empty(kind: str, batch_rows: int) -> None:
    data = packed({"MD5": COLUMNS[kind], "sha1": pa.array([None, SHA1, None]), "id": ["a", "b", None]})
    taken = read_batches(data, batch_rows)
    assert taken.rows == [
        Row(1, {"md5": MD5}, None, b"a"),
        Row(2, {"sha1": SHA1}, None, b"b"),
        Row(3, {"md5": OTHER_MD5}, None, b""),
    ]
    assert not taken.rejects


def test_every_column_is_read_and_others_are_passed_over() -> None:
    data = packed(
        {
            "size": [1, 2],
            "path": ["a b", "c"],
            "id": [17, None],
            "category": pa.array(["c", None]).dictionary_encode(),
            "pdq": [SHA256, None],
            "phash": pa.array([None, bytes.fromhex(PHASH)], pa.binary(8)),
            "nested": [{"md5": "x"}, None],
        }
    )
    assert read(data).rows == [
        Row(1, {"pdq": SHA256}, "c", b"17", b"a b"),
        Row(2, {"phash": PHASH}, None, b"", b"c"),
    ]


def test_each_bad_row_is_rejected_with_its_number_and_reason_and_no_other_row_is() -> None:
    data = packed(
        {
            "md5": [MD5, MD5[:-1], "x" * 32, None, MD5, OTHER_MD5],
            "category": ["c", "c", "c", "c", "c" * 201, None],
        }
    )
    for batch_rows in (1, 2, 100):
        taken = read_batches(data, batch_rows)
        assert [row.line for row in taken.rows] == [1, 6]
        assert [(reject.line, reject.reason) for reject in taken.rejects] == [
            (2, "md5: expected 32 hexadecimal digits, got 31"),
            (3, "md5: character 1 is not a hexadecimal digit"),
            (4, "no hash in this row"),
            (5, "category: longer than 200 bytes"),
        ]
        assert b"x" * 32 in taken.rejects[1].text


def test_bytes_of_the_wrong_width_are_rejected_one_by_one() -> None:
    good = bytes.fromhex(MD5)
    taken = read(packed({"md5": pa.array([good, good[:-1], MD5.encode(), b""], pa.binary())}))
    assert [row.line for row in taken.rows if row.line in (2, 4)] == []
    assert {2, 4} <= {reject.line for reject in taken.rejects}
    assert len(taken.rows) + len(taken.rejects) == 4


def test_ids_that_are_not_utf8_are_rejected() -> None:
    taken = read(packed({"md5": [MD5, OTHER_MD5], "id": pa.array([b"\xc3", b"\x81"], pa.binary())}))
    assert [row.id for row in taken.rows] == ["\u00c3".encode()]
    assert [reject.reason for reject in taken.rejects] == ["id: the text is neither UTF-8 nor Windows-1252"]


def test_a_rejected_row_is_told_also_where_python_has_no_value_for_it() -> None:
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", MD5.encode()]).buffers())
    taken = read(packed({"md5": text, "id": pa.array([1, 1], pa.timestamp("ns"))}))
    assert [row.line for row in taken.rows] == [2]
    assert [reject.line for reject in taken.rejects] == [1]
    assert rb"b'\xff'" in taken.rejects[0].text


def test_a_slice_of_a_table_is_read_from_its_own_beginning() -> None:
    table = pa.table({"md5": pa.array([bytes([number]) * 16 for number in range(100)], pa.binary(16))})
    out = io.BytesIO()
    pq.write_table(table.slice(10, 50), out, row_group_size=7)
    taken = read_batches(out.getvalue(), 4)
    assert [row.hashes["md5"] for row in taken.rows] == [f"{number:02x}" * 16 for number in range(10, 60)]
    assert [row.line for row in taken.rows] == list(range(1, 51))


def test_a_table_without_rows_has_no_rows() -> None:
    for kind in (pa.string(), pa.binary(16), pa.binary()):
        taken = read(packed({"md5": pa.array([], kind)}))
        assert not taken.rows
        assert not taken.rejects


@pytest.mark.parametrize(
    "columns",
    [
        {"md5": pa.array([{"a": 1}])},
        {"md5": pa.array([[1, 2]])},
        {"md5": [MD5], "category": pa.array([[b"x"]])},
        {"md5": [MD5], "id": pa.array([{"a": "b"}])},
    ],
)
def test_a_column_of_a_type_that_cannot_be_text_is_named(columns: dict[str, Any]) -> None:
    with pytest.raises(ReadError, match=r"input: column (md5|category|id) is (struct|list)<"):
        read(packed(columns))


def test_a_file_without_a_hash_column_is_refused_with_its_columns() -> None:
    with pytest.raises(ReadError, match="no column is named by a hash type; its columns are name, size"):
        read(packed({"name": ["x"], "size": [1]}))


def test_of_two_columns_of_one_name_the_first_counts() -> None:
    out = io.BytesIO()
    table = pa.Table.from_arrays(
        [pa.array([MD5]), pa.array([OTHER_MD5]), pa.array(["c"])], ["md5", "md5", "category"]
    )
    pq.write_table(table, out)
    assert read(out.getvalue()).rows == [Row(1, {"md5": MD5}, "c")]


def test_columns_that_differ_in_case_only_are_told_apart() -> None:
    assert read(packed({"MD5": [MD5], "md5": [OTHER_MD5]})).rows == [Row(1, {"md5": MD5})]


def test_packed_and_piped_files_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed({"md5": [MD5]})
    assert read(gzip.compress(data), format="parquet").rows == [Row(1, {"md5": MD5})]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with open_source("-") as source:
        assert collect(lambda on_reject: read_rows(source, on_reject=on_reject)).rows == [Row(1, {"md5": MD5})]
    path = tmp_path / "set.parquet"
    path.write_bytes(data)
    with open_source(str(path)) as source:
        assert collect(lambda on_reject: read_rows(source, on_reject=on_reject)).rows == [Row(1, {"md5": MD5})]


def test_trouble_with_the_reject_file_is_not_blamed_on_the_parquet_file() -> None:
    def on_reject(reject: Reject) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(read_rows(source_of(packed({"md5": ["x"]})), on_reject=on_reject))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"hello" * 100])
def test_what_is_no_parquet_file_is_refused(data: bytes) -> None:
    with pytest.raises(ReadError, match="input is not a valid Parquet file"):
        read(data, format="parquet")


def test_a_truncated_file_is_refused() -> None:
    data = packed({"md5": [MD5] * 100})
    for length in range(4, len(data), 37):
        with pytest.raises(ReadError, match="input is not a valid Parquet file"):
            read(data[:length])


SOUND = packed({"md5": [f"{number:032x}" for number in range(200)], "id": [str(number) for number in range(200)]})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_raise_nothing_but_a_read_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SOUND)
    for place, value in changes:
        data[place] = value
    try:
        taken = read(bytes(data), format="parquet")
    except ReadError:
        return
    assert [row.line for row in taken.rows] == sorted(row.line for row in taken.rows)


def test_one_odd_cell_of_binary_hashes_rejects_its_row_only() -> None:
    digests = [bytes([number]) * 16 for number in range(5)]
    values = [*digests[:2], b"short", digests[2], MD5.encode(), None]
    taken = read(packed({"md5": pa.array(values, pa.binary()), "id": ["a", "b", "c", "d", "e", "f"]}))
    assert [(row.line, row.hashes["md5"]) for row in taken.rows] == [
        (1, digests[0].hex()),
        (2, digests[1].hex()),
        (4, digests[2].hex()),
        (5, MD5),
    ]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (3, "md5: expected 16 bytes or 32 hexadecimal digits, got 5 bytes"),
        (6, "no hash in this row"),
    ]
