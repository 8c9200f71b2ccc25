"""Tests of `hashserver.readers.s3_inventory`."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, Row, Taken, collect, read, source_of

from hashserver.readers import ReadError, open_source, read_rows
from hashserver.readers.s3_inventory import read_s3_inventory

TIME = "2024-05-01T09:00:00.000Z"
OBJECTS = [
    ("photos", "a.jpg", "1", TIME, MD5, "NOT-SSE"),
    ("photos", "b+c%2Cd%.jpg", "1", TIME, OTHER_MD5, "SSE-S3"),
    ("photos", "parts.mp4", "1", TIME, f"{MD5}-12", "SSE-S3"),
    ("photos", "kms.jpg", "1", TIME, MD5, "SSE-KMS"),
    ("photos", "twice.jpg", "1", TIME, MD5, "DSSE-KMS"),
    ("photos", "customer.jpg", "1", TIME, MD5, "SSE-C"),
    ("photos", "marker", "", TIME, "", ""),
    ("photos", "unknown.jpg", "1", TIME, MD5, ""),
]
ROWS = [
    Row(1, {"md5": MD5}, name=b"a.jpg"),
    Row(2, {"md5": OTHER_MD5}, name=b"b c,d%.jpg"),
    Row(8, {"md5": MD5}, name=b"unknown.jpg"),
]


def quoted(objects: list[tuple[str, ...]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(objects)
    return out.getvalue().encode()


def read_counted(data: bytes, block_bytes: int = 1 << 20) -> tuple[Taken, int]:
    source = source_of(data)
    taken = collect(
        lambda on_reject: read_s3_inventory(source, hash_type=None, on_reject=on_reject, block_bytes=block_bytes)
    )
    return taken, source.not_checkable


def test_an_etag_that_is_an_md5_is_read_and_the_others_are_counted() -> None:
    assert read(quoted(OBJECTS)) == Taken(ROWS, not_checkable=5)
    assert read_counted(quoted(OBJECTS)) == (Taken(ROWS), 5)


def test_parquet_is_read_by_its_names_and_keys_are_as_they_are(tmp_path: Path) -> None:
    names = ["bucket", "key", "size", "last_modified_date", "e_tag", "encryption_status"]
    columns = [[value or None for value in column] for column in zip(*OBJECTS, strict=True)]
    path = tmp_path / "inventory.parquet"
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
    with open_source(str(path)) as source:
        taken = collect(lambda on_reject: read_rows(source, on_reject=on_reject))
        assert source.not_checkable == 5
    assert taken.rows == [ROWS[0], Row(2, {"md5": OTHER_MD5}, name=b"b+c%2Cd%.jpg"), ROWS[2]]
    assert read(path.read_bytes(), format="s3-inventory").rows == taken.rows


def inventory(folder: Path, schema: str, listed: str = "data/part.csv.gz") -> Path:
    data = folder / "data"
    data.mkdir()
    path = data / "part.csv.gz"
    # A version that looks like an ETag: only the manifest tells which is which.
    path.write_bytes(gzip.compress(quoted([("photos", "a.jpg", OTHER_MD5, TIME, MD5)])))
    dated = folder / "2024-05-01T01-00Z"
    dated.mkdir()
    manifest = {"fileFormat": "CSV", "fileSchema": schema, "files": [{"key": listed}]}
    (dated / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(("listed", "found"), [("x/data/part.csv.gz", MD5), ("x/data/other.csv.gz", OTHER_MD5)])
def test_the_manifest_that_lists_a_file_names_its_columns(tmp_path: Path, listed: str, found: str) -> None:
    path = inventory(tmp_path, "Bucket, Key, VersionId, LastModifiedDate, ETag", listed)
    with open_source(str(path)) as source:
        taken = collect(lambda on_reject: read_rows(source, on_reject=on_reject))
    assert taken.rows == [Row(1, {"md5": found}, name=b"a.jpg")]


def test_an_inventory_without_etags_says_what_to_do(tmp_path: Path) -> None:
    path = inventory(tmp_path, "Bucket, Key, VersionId, LastModifiedDate, Size")
    with (
        open_source(str(path)) as source,
        pytest.raises(ReadError, match="names no Key and ETag; include ETags"),
    ):
        list(read_rows(source, on_reject=pytest.fail))
    with pytest.raises(ReadError, match="input: no column holds ETags"):
        read(b'"b","k","1"\n', format="s3-inventory")


def test_a_broken_record_is_rejected_with_its_line() -> None:
    data = quoted(OBJECTS[:3]) + b'"photos","a"\n' + quoted(OBJECTS[:1]) + b'"photos"x,"a"\n'
    taken, count = read_counted(data)
    assert [row.line for row in taken.rows] == [1, 2, 5]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (4, "expected 6 columns, got 2"),
        (6, "a quote that is not closed, or text after a closing quote"),
    ]
    assert count == 1


CELLS = st.sampled_from(
    [MD5, MD5.upper(), f"{MD5}-1", "", " ", "x", "SSE-KMS", "SSE-S3", "é", "%", "\n", '"', "\0"]
)
KEYS = st.text(st.sampled_from("a+%4129cCé\0 "), max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KEYS, CELLS, CELLS), max_size=8), st.integers(1, 300))
def test_objects_of_every_kind_give_what_the_model_gives(
    objects: list[tuple[str, str, str]], block_bytes: int
) -> None:
    # So many plain ones come first that the columns are known by them.
    plain = [("photos", "a", "1", TIME, MD5, "SSE-S3")] * 100
    every = [*plain, *(("photos", key, "1", TIME, etag, status) for key, etag, status in objects)]
    taken, count = read_counted(quoted(every), block_bytes)
    good = [
        (unquote_to_bytes(key.replace("+", " ")), etag.lower())
        for _, key, _, _, etag, status in every
        if etag.lower() == MD5 and status.strip(" ").upper() in ("", "SSE-S3")
    ]
    assert [(row.name, row.hashes["md5"]) for row in taken.rows] == good
    assert count == len(every) - len(good)
    assert not taken.rejects


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(0, 40), st.binary(max_size=6))
def test_any_change_gives_rows_rejects_or_a_read_error(at: int, cut: int, put: bytes) -> None:
    data = quoted(OBJECTS)
    errors = []
    try:
        taken, _ = read_counted(data[:at] + put + data[at + cut :], 100)
    except ReadError as error:
        errors.append(str(error))
    else:
        assert [row.line for row in taken.rows] == sorted({row.line for row in taken.rows})
    assert all(error.startswith("input") for error in errors)
