"""Whatever is in a file, the readers give rows, rejects or a `ReadError`."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, read, read_blocks

from hashserver.readers import FORMATS, ReadError


def parquet() -> bytes:
    columns = {
        "md5": [MD5, None, OTHER_MD5, "x"],
        "sha1": pa.array([bytes(20), bytes(range(20)), None, None], pa.binary(20)),
        "category": pa.array(["a", "b", None, "a"]).dictionary_encode(),
        "id": [1, 2, None, 4],
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


VALID = {
    "csv": f'md5,sha1,category,id\r\n{MD5},,"a ""b""",é\r\n"{OTHER_MD5}",{SHA1},,"x\ny"\n'.encode() * 3,
    "text": f"# list\n{MD5}\n\n{OTHER_MD5.upper()}\r\n".encode() * 3,
    "sums": f"{MD5}  a b\n{SHA256} *é\n\\{SHA1}  a\\nb\nMD5 (a) = {MD5}\n".encode() * 3,
    "jsonl": (
        json.dumps({"md5": MD5, "id": 1}) + "\n" + json.dumps({"phash": PHASH, "category": "é"}) + "\n"
    ).encode(),
    "parquet": parquet(),
    "vics": json.dumps(
        {
            "@odata.context": "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media",
            "value": [
                {"MediaID": 1, "Category": 1, "MD5": MD5.upper(), "SHA1": SHA1.upper(), "Tags": ["é", "}"]},
                {"MediaID": 2, "Category": None, "MD5": OTHER_MD5, "VictimIdentified": "true"},
            ],
        }
    ).encode(),
    "exchange": json.dumps(
        {
            "data": [
                {"id": "1", "type": "HASH_PDQ", "raw_indicator": SHA256, "status": "MALICIOUS"},
                {"id": "2", "type": "HASH_MD5", "indicator": {"indicator": MD5}},
                {"id": "1", "type": "HASH_MD5", "should_delete": True},
            ],
            "paging": {"cursors": {"before": "x"}},
        },
        indent=1,
    ).encode(),
    "tat": json.dumps(
        [
            {"hash_digest": MD5, "algorithm": "MD5", "deleted": False, "id": 7},
            {"hash_digest": SHA256, "algorithm": "SHA256", "deleted": True, "id": 8},
            {"hash_digest": SHA1, "algorithm": "SHA1", "deleted": False, "id": 9},
        ]
    ).encode(),
    "rclone": json.dumps(
        [
            {"Path": "a b", "Name": "a b", "Size": 3, "IsDir": False, "Hashes": {"md5": MD5, "sha1": SHA1}},
            {"Path": "d", "Name": "d", "Size": -1, "IsDir": True},
            {"Path": "é", "Name": "é", "Size": 3, "IsDir": False, "Hashes": {"SHA-256": SHA256}},
            {"Path": "c", "Name": "c", "Size": 3, "IsDir": False, "Hashes": {"crc32": "0"}},
        ]
    ).encode(),
    "s3-listing": json.dumps(
        {
            "Contents": [
                {"Key": "a", "ETag": f'"{MD5}"', "Size": 1, "StorageClass": "STANDARD"},
                {"Key": "b", "ETag": f'"{OTHER_MD5}-2"', "Size": 1},
                {"Key": "c", "ETag": f'"{OTHER_MD5}-1"', "ChecksumType": "FULL_OBJECT", "ChecksumSHA1": "x"},
            ],
            "RequestCharged": None,
        },
        indent=4,
    ).encode()
    * 2,
}
PACKS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
TYPES = st.sampled_from([None, None, "md5", "sha1", "pdq", "phash"])
PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b'"',
            b",",
            b"\\",
            b"\0",
            b"\xff",
            b"  ",
            b"#",
            b"{",
            b"\xef\xbb\xbf",
            b"a" * 2000,
            b"[",
            b"]",
            b"}",
            b"}]",
            b":",
            b"null",
            b"[" * 50,
            b"\xff\xfe",
        ]
    ),
    st.sampled_from([MD5, SHA256, PHASH, "md5", "id", "category"]).map(str.encode),
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut pieces out, put others in, and swap some."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        data = data[:start] + draw(PIECES) + data[stop:]
    return data


def check(data: bytes, format: str | None, hash_type: str | None) -> None:
    try:
        taken = read(data, format=format, hash_type=hash_type)
    except ReadError:
        return
    lines = [row.line for row in taken.rows]
    gone = [line for line, _ in taken.withdrawn]
    assert not set(gone) & {*lines, *(reject.line for reject in taken.rejects)}
    rejected = [reject.line for reject in taken.rejects]
    assert lines == sorted(set(lines))
    assert rejected == sorted(set(rejected))
    assert not set(lines) & set(rejected)


@pytest.mark.parametrize("format", [*VALID, None])
@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join), TYPES)
def test_arbitrary_bytes(format: str | None, data: bytes, hash_type: str | None) -> None:
    check(data, format, hash_type)


@pytest.mark.parametrize("format", VALID)
@settings(max_examples=150, deadline=None)
@given(st.data(), TYPES, st.booleans())
def test_a_valid_file_with_some_changes(
    format: str, data: st.DataObject, hash_type: str | None, told: bool
) -> None:
    check(data.draw(mutated(VALID[format])), format if told else None, hash_type)


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(sorted(VALID)))
def test_a_valid_packed_file_with_some_changes(pack: str, data: st.DataObject, format: str) -> None:
    check(data.draw(mutated(PACKS[pack](VALID[format]))), format, None)


@pytest.mark.parametrize("format", VALID)
@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(sorted(VALID)), TYPES)
def test_a_file_of_another_format(format: str, data: st.DataObject, other: str, hash_type: str | None) -> None:
    check(data.draw(mutated(VALID[other])), format, hash_type)


@pytest.mark.parametrize(
    "format", ["csv", "text", "sums", "jsonl", "vics", "exchange", "tat", "rclone", "s3-listing"]
)
@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 500))
def test_the_size_of_the_blocks_changes_nothing(format: str, data: st.DataObject, block_bytes: int) -> None:
    changed = data.draw(mutated(VALID[format]).filter(lambda text: len(text) < 2000))
    try:
        whole = read(changed, format=format)
    except ReadError:
        return
    cut = read_blocks(FORMATS[format], changed, block_bytes)
    assert [(row.line, row.hashes, row.category) for row in cut.rows] == [
        (row.line, row.hashes, row.category) for row in whole.rows
    ]
    assert cut.rejects == whole.rejects
    assert cut.not_checkable == whole.not_checkable
    assert cut.withdrawn == whole.withdrawn


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("format", VALID)
def test_every_truncation(format: str, pack: str) -> None:
    packed = PACKS[pack](VALID[format])
    for length in range(0, len(packed), 1 if len(packed) < 600 else 7):
        check(packed[:length], format, "md5")
