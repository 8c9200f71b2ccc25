"""Tests of `hashserver.readers.s3_listing`."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, read

SHA1_BASE64 = base64.b64encode(bytes.fromhex(SHA1)).decode()
SHA256_BASE64 = base64.b64encode(bytes.fromhex(SHA256)).decode()


def listed(key: str, etag: str | None, **more: Any) -> dict[str, Any]:
    item = {"Key": key, "LastModified": "2026-01-02T03:04:05+00:00", "Size": 43, "StorageClass": "STANDARD"}
    return item | ({} if etag is None else {"ETag": f'"{etag}"'}) | more


def page(*items: Any, member: str = "Contents", **more: Any) -> bytes:
    """As the AWS CLI prints one."""
    return json.dumps({member: items, "RequestCharged": None, "Prefix": ""} | more, indent=4).encode() + b"\n"


OBJECTS = (
    listed("a/b.jpg", MD5, ChecksumAlgorithm=["CRC64NVME"], ChecksumType="FULL_OBJECT"),
    listed("in parts", f"{OTHER_MD5}-3"),
    listed(" é 😀 ", OTHER_MD5.upper()),
    listed("no etag", None),
    listed("of another storage", "0x8D4BCC2E4835CD0"),
)
ROWS = [Row(1, {"md5": MD5}, name=b"a/b.jpg"), Row(3, {"md5": OTHER_MD5}, name=" é 😀 ".encode())]


@pytest.mark.parametrize(
    "text",
    [
        page(*OBJECTS),
        page(*OBJECTS, member="Versions", DeleteMarkers=[{"Key": "gone", "IsLatest": True, "VersionId": "1"}]),
        json.dumps(OBJECTS, indent=4).encode(),
        json.dumps(OBJECTS, ensure_ascii=False).encode(),
        json.dumps([{"Key": each["Key"], "ETag": each.get("ETag")} for each in OBJECTS]).encode(),
    ],
    ids=["objects", "versions", "queried", "one line", "two members"],
)
def test_an_etag_that_is_an_md5_is_used_and_others_are_counted(text: bytes) -> None:
    taken = read(text)
    assert taken.rows == ROWS
    assert not taken.rejects
    assert taken.not_checkable == 3


def test_pages_may_follow_one_another() -> None:
    taken = read(page(*OBJECTS) + page(*OBJECTS, NextToken="x") + page())
    assert [(row.line, row.name) for row in taken.rows] == [
        (line, row.name) for start in (0, 5) for row, line in zip(ROWS, (start + 1, start + 3), strict=True)
    ]
    assert taken.not_checkable == 6


def test_only_deleted_objects_are_nothing_to_check() -> None:
    taken = read(page({"Key": "gone", "IsLatest": True, "VersionId": "1"}, member="DeleteMarkers"))
    assert (taken.rows, taken.rejects, taken.not_checkable) == ([], [], 0)


@pytest.mark.parametrize(
    ("more", "hashes"),
    [
        ({"ServerSideEncryption": "AES256"}, {"md5": MD5}),
        ({"ServerSideEncryption": "aws:kms"}, {}),
        ({"ServerSideEncryption": "aws:kms:dsse"}, {}),
        ({"SSECustomerAlgorithm": "AES256"}, {}),
        ({"ServerSideEncryption": "aws:kms", "ChecksumSHA256": SHA256_BASE64}, {"sha256": SHA256}),
        ({"ChecksumSHA1": SHA1_BASE64, "ChecksumType": "FULL_OBJECT"}, {"md5": MD5, "sha1": SHA1}),
        ({"ChecksumSHA1": SHA1_BASE64, "ChecksumType": "COMPOSITE"}, {"md5": MD5}),
        ({"ChecksumSHA256": f"{SHA256_BASE64}-2"}, {"md5": MD5}),
        ({"ETag": f'"{MD5}-2"', "ChecksumSHA256": SHA256_BASE64}, {}),
        (
            {"ETag": f'"{MD5}-2"', "ChecksumSHA256": SHA256_BASE64, "ChecksumType": "FULL_OBJECT"},
            {"sha256": SHA256},
        ),
        ({"ETag": MD5, "Checksum": {"ChecksumSHA256": SHA256_BASE64}}, {"md5": MD5, "sha256": SHA256}),
        ({"ETag": f"{MD5}-2", "Checksum": {"ChecksumSHA256": SHA256_BASE64, "ChecksumType": "COMPOSITE"}}, {}),
        ({"ChecksumCRC32": "AAAAAA=="}, {"md5": MD5}),
    ],
)
def test_checksums_of_the_whole_object_are_used(more: dict[str, Any], hashes: dict[str, str]) -> None:
    taken = read(json.dumps([listed("a", MD5, **more)]).encode())
    assert [row.hashes for row in taken.rows] == ([hashes] if hashes else [])
    assert not taken.rejects
    assert taken.not_checkable == (not hashes)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (listed("a", MD5, ETag=7), "ETag: expected a string, got int"),
        (listed("a", MD5, Key=["a"]), "Key: expected a string, got list"),
        (listed("a", MD5, ChecksumSHA1="*"), "ChecksumSHA1: not base64"),
        (listed("a", MD5, ChecksumSHA1=SHA256_BASE64), "ChecksumSHA1: expected base64 of 20 bytes, got 32"),
        (listed("a", MD5, ChecksumSHA256=1), "ChecksumSHA256: expected a string, got int"),
        ("x", "not a JSON object"),
    ],
)
def test_each_bad_item_is_rejected_with_its_reason_and_its_neighbours_are_taken(bad: Any, reason: str) -> None:
    taken = read(page(listed("g", MD5), bad, listed("n", None), listed("g", MD5)))
    assert [row.line for row in taken.rows] == [1, 4]
    assert [reject.line for reject in taken.rejects] == [2]
    assert taken.rejects[0].reason.startswith(reason)
    assert taken.not_checkable == 1


@given(st.lists(st.text('0123456789abcdefABCDEF-"xé', max_size=36) | st.just(MD5), min_size=1, max_size=8))
def test_an_etag_counts_if_and_only_if_it_is_32_digits(etags: list[str]) -> None:
    taken = read(page(*(listed("k", etag) for etag in etags)))
    plain = [len(etag) == 32 and set(etag) <= set("0123456789abcdefABCDEF") for etag in etags]
    assert [row.line for row in taken.rows] == [line for line, is_plain in enumerate(plain, 1) if is_plain]
    assert not taken.rejects
    assert taken.not_checkable == plain.count(False)
