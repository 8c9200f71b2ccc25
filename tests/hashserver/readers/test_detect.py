"""Tests of `hashserver.readers.detect`."""

from __future__ import annotations

import gzip
import io

import pytest
import zstandard
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, source_of

from hashserver.readers import FORMATS, ReadError, Source
from hashserver.readers.detect import detect_format

CASES = {
    "a list": (f"{MD5}\n{OTHER_MD5}\n", "text"),
    "a list in upper case with CRLF": (f"{MD5.upper()}\r\n{OTHER_MD5}\r\n", "text"),
    "a list after a comment": (f"# md5,id\n\n{PHASH}\n", "text"),
    "a list after many comments": ("# comment\n" * 100 + SHA1, "text"),
    "a list that begins with a bad line": (f"hello\n{MD5}\n", "text"),
    "nothing": ("", "text"),
    "blank lines": ("\n \r\n", "text"),
    "a byte order mark and a list": (f"\ufeff{MD5}\n", "text"),
    "a header": (f"md5,id\n{MD5},1\n", "csv"),
    "a header of one column": (f"md5\n{MD5}\n", "csv"),
    "a quoted header": (f'"MD5";"SHA-1"\n"{MD5}";"{SHA1}"\n', "csv"),
    "a byte order mark and a header": (f"\ufeffmd5,id\n{MD5},1\n", "csv"),
    "records without a header": (f"{MD5},1\n", "csv"),
    "records without a header, tabs": (f"1\t{SHA256}\n", "csv"),
    "quoted records of one column": (f'"{MD5}"\n', "csv"),
    "md5sum": (f"{MD5}  a, b.jpg\n", "sums"),
    "md5sum of binary files": (f"{MD5} *a.jpg\n", "sums"),
    "sha256sum of an odd name": (f"\\{SHA256}  a\\nb\n", "sums"),
    "BSD": (f"SHA1 (a.jpg) = {SHA1}\n", "sums"),
    "BSD of an odd name": (f"\\MD5 (a\\nb) = {MD5}\n", "sums"),
    "a listing after many comments": ("# comment\n" * 100 + f"{MD5}  a\n", "sums"),
    "a listing that begins with a bad line": (f"hello\n{MD5}  a\n", "sums"),
    "JSON lines": (f'\n {{"md5": "{MD5}"}}\n', "jsonl"),
    "a byte order mark and JSON lines": ('\ufeff{"md5": "x"}\n', "jsonl"),
    "Parquet": ("PAR1", "parquet"),
    "Project VIC 1.3": (
        '{ "odata.metadata": "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media","value":[',
        "vics",
    ),
    "Project VIC 2.0, on one line with other members first": (
        '\ufeff{"a": 1, "@odata.context":"http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/'
        '$metadata#Cases","value":[{"Media":[]}]}',
        "vics",
    ),
    "OData of something else": ('{"@odata.context": "http://localhost/$metadata#Users"}', "jsonl"),
    "Project VIC, its model at the end": ('{"value": [{"MediaID": 1, "MD5": "x"}]}', "vics"),
    "an empty bucket": ('{"RequestCharged": null, "Prefix": ""}', "s3-listing"),
    "an empty bucket with its list": ('{"Contents": []}', "s3-listing"),
    "an empty bucket, queried": ("null\n", "s3-listing"),
    "an empty folder": ("[\n]\n", "rclone"),
    "a header in other words": (f"MD5 Hash;SHA1 Hash;Categorie\n{MD5};{SHA1};1\n", "csv"),
    "a listing of SHA-512": (f"{'ab' * 64}  a\n", "sums"),
    "a listing of XXH64": (f"{PHASH}  a\n", "sums"),
    "a listing that ends in NUL": (f"{MD5}  a\0{OTHER_MD5}  b\0", "sums"),
    "an exchange's page": ('{"data": [\n{"id": "1", "type" : "HASH_PDQ"', "exchange"),
    "an exchange's array": ('[{"type":"HASH_MD5","value":"x"}]', "exchange"),
    "StopNCII": ('{"count": 1, "hashRecords": [{"signalType": "ImagePDQ"}]}', "exchange"),
    "Tech Against Terrorism": ('[\n {"id": 1, "hash_digest": "x", "algorithm": "MD5"}]', "tat"),
    "hashdeep": ("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n", "hashdeep"),
    "NSRL as text": ('"SHA-1","MD5","CRC32","FileName"\r\n', "nsrl"),
    "SQLite": ("SQLite format 3\0", "rds"),
    "an inventory": (f'"b","a.jpg","7","2024-05-01T09:00:00.000Z","{MD5}"\n', "s3-inventory"),
    "an inventory in parts": (f'"b","a.jpg","7","2024-05-01T09:00:00.000Z","{MD5}-12"\n', "s3-inventory"),
    "no inventory without times": (f'"b","a.jpg","7","{MD5}"\n', "csv"),
    "ThreatExchange": (f"indicator,type\n{MD5},HASH_MD5\n", "exchange-csv"),
    "a header with a type, too": (f"md5,type\n{MD5},x\n", "csv"),
    "XML": ('<?xml version="1.0"?><queryResult/>', "ncmec"),
    "a byte order mark and XML": ("\ufeff<queryResult/>", "ncmec"),
    "rclone lsjson": ('[\n{"Path":"a","Name":"a","Size":1,"IsDir":false}\n]', "rclone"),
    "rclone's remote control": ('{\n\t"list": [\n\t\t{"IsDir": true, "Path": "a"}]}', "rclone"),
    "rclone hashsum without hashes": (f"{'UNSUPPORTED':>32}  a\n" * 30, "sums"),
    "rclone hashsum in base64": ("AAAAAAAAAAAAAAAAAAAAAA==  a, b\n", "sums"),
    "list-objects": ('{\n    "Contents": [\n        {\n            "Key": "a", "ETag": "x"', "s3-listing"),
    "list-object-versions": ('{"RequestCharged": null, "Versions": [{"ETag": "x", "Key": "a"}]}', "s3-listing"),
    "list-objects, queried": ('[{"ETag": "x", "Key": "a"}]', "s3-listing"),
    "JSON lines with keys of objects": (f'{{"md5": "{MD5}", "Key": "a", "ETag": "x"}}', "jsonl"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_a_format_is_known_by_what_is_in_the_file(case: str, pack: type[bytes]) -> None:
    text, expected = CASES[case]
    source = source_of(pack(text.encode()))
    assert detect_format(source, None) == expected
    assert expected in FORMATS
    assert source.read(len(text.encode()) + 1) == text.replace("\0", "\n" if "\0" in text[40:] else "\0").encode()


def test_a_named_type_makes_one_column_of_anything_a_list() -> None:
    for text in (f"{SHA256}\n", "not yet a hash\n", "\0\n"):
        assert detect_format(source_of(text.encode()), "pdq") == "text"
    assert detect_format(source_of(f"pdq\n{SHA256}\n".encode()), "pdq") == "csv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("A.CSV.GZ", "csv"),
        ("a.tsv.zst", "csv"),
        ("a.txt", "text"),
        ("a.ndjson", "jsonl"),
        ("dir.csv/a.sha1", "sums"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_name_settles_what_the_text_does_not(name: str, expected: str) -> None:
    assert detect_format(Source(io.BytesIO(b"hello\n"), name, None), None) == expected


@pytest.mark.parametrize("name", ["standard input", "a", "a.dat", "a.csv.bak", "csv"])
@pytest.mark.parametrize("data", [b"hello\n", b"[\n{}]\n", b"a,b\n1,2\n", b"\xff" * 99])
def test_what_looks_like_nothing_is_refused_with_advice(name: str, data: bytes) -> None:
    with pytest.raises(
        ReadError, match=f"{name}: cannot tell what format this is; name it with --format .*--type"
    ):
        detect_format(Source(io.BytesIO(data), name, None), None)


def test_utf16_is_read_with_and_without_a_byte_order_mark() -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert detect_format(source_of(f"md5;id\r\n{MD5};1\r\n".encode(encoding)), None) == "csv"
        assert detect_format(source_of(f"{MD5}  a\n".encode(encoding)), None) == "sums"
        assert detect_format(source_of(f'{{"md5": "{MD5}"}}\n'.encode(encoding)), None) == "jsonl"


def test_the_text_counts_for_more_than_the_name() -> None:
    assert detect_format(Source(io.BytesIO(f"{MD5}  a\n".encode()), "a.csv", None), None) == "sums"
