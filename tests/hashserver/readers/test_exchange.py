"""Tests of `hashserver.readers.exchange`."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, read

from hashserver.readers import ReadError

DESCRIPTORS: list[dict[str, Any]] = [
    {"id": "1", "type": "HASH_PDQ", "raw_indicator": SHA256, "status": "MALICIOUS", "tags": ["x"]},
    {"id": 2, "type": "HASH_MD5", "indicator": MD5.upper(), "should_delete": False},
    {"type": "HASH_SHA1", "value": SHA1, "category": "c"},
    {"id": "4", "type": "HASH_SHA256", "indicator": {"id": "9", "indicator": SHA256, "type": "HASH_SHA256"}},
]
ROWS = [
    Row(1, {"pdq": SHA256}, None, b"1"),
    Row(2, {"md5": MD5}, None, b"2"),
    Row(3, {"sha1": SHA1}, "c", b""),
    Row(4, {"sha256": SHA256}, None, b"4"),
]


@pytest.mark.parametrize("place", [None, "data", "indicators"])
def test_arrays_and_pages_are_known_and_read(place: str | None) -> None:
    document = DESCRIPTORS if place is None else {"paging": {"next": "x"}, place: DESCRIPTORS}
    taken = read(json.dumps(document, indent=1).encode())
    assert [(row.hashes, row.id, row.category) for row in taken.rows] == [
        (row.hashes, row.id, row.category) for row in ROWS
    ]
    assert not taken.rejects


def test_stopncii_records_have_the_number_of_their_case() -> None:
    records = [
        {"signalType": "ImagePDQ", "hashValue": SHA256, "hashStatus": "Active", "caseNumbers": {"7": "Active"}},
        {"signalType": "VideoMD5", "hashValue": MD5, "caseNumbers": {"7": "Active", "8": "Active"}},
        {"signalType": "ImagePDQ", "hashValue": SHA256, "hashStatus": "Withdrawn", "caseNumbers": {"9": "x"}},
        {"signalType": "ImagePDQ", "hashValue": SHA256, "hashStatus": "Deleted"},
        {"signalType": "VideoTMK", "hashValue": "x"},
    ]
    taken = read(json.dumps({"count": 4, "hashRecords": records, "hasMoreRecords": False}).encode())
    assert [(row.line, row.hashes, row.id) for row in taken.rows] == [
        (1, {"pdq": SHA256}, b"7"),
        (2, {"md5": MD5}, b""),
    ]
    assert taken.withdrawn == [(3, b"9")]
    assert [(reject.line, reject.reason.split(",")[0]) for reject in taken.rejects] == [
        (4, "withdrawn by its source"),
        (5, "type: not supported; supported types: HASH_MD5"),
    ]


PHOTODNA = bytes(range(144))
NUMBERS = ",".join(map(str, PHOTODNA))


@pytest.mark.parametrize("name", ["HASH_PHOTODNA", "ImagePhotoDNA"])
@pytest.mark.parametrize("written", [NUMBERS, PHOTODNA.hex(), base64.b64encode(PHOTODNA).decode()])
def test_photodna_is_read_as_numbers_hexadecimal_or_base64(name: str, written: str) -> None:
    export = {"data": [{"id": "1", "type": name, "indicator": written, "status": "MALICIOUS"}]}
    taken = read(json.dumps(export).encode())
    assert taken.rows == [Row(1, {"photodna": PHOTODNA.hex()}, None, b"1")]
    assert not taken.rejects


def test_a_type_that_is_not_known_is_told_which_are() -> None:
    (reject,) = read(b'[{"type": "HASH_TMK", "value": "x"}]', format="exchange").rejects
    assert {"HASH_MD5", "HASH_PDQ", "HASH_PHOTODNA"} <= set(reject.reason.replace(",", "").split())


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "HASH_TMK", "value": MD5}, "type: not supported; supported types: "),
        ({"type": "HASH_PDQ_OCR", "value": SHA256}, "type: not supported; supported types: "),
        ({"type": ["HASH_MD5"], "value": MD5}, "type: not supported; supported types: "),
        ({"value": MD5}, "type: not supported; supported types: "),
        ({"type": "HASH_MD5"}, "no hash under raw_indicator"),
        ({"type": "HASH_MD5", "indicator": {}}, "no hash under raw_indicator"),
        ({"type": "HASH_MD5", "value": 1}, "value: expected a string, got int"),
        ({"type": "HASH_MD5", "value": SHA1}, "md5: expected 32 hexadecimal digits, got 40"),
        ({"type": "HASH_MD5", "value": MD5, "id": {}}, "id: expected a string, got dict"),
        ({"type": "HASH_MD5", "value": MD5, "status": "NON_MALICIOUS"}, "status: NON_MALICIOUS"),
        ({"type": "HASH_PHOTODNA", "value": NUMBERS + ",0"}, "photodna: expected 288 hexadecimal digits"),
        ({"type": "HASH_PHOTODNA", "value": "1,256"}, "value: expected numbers from 0 to 255"),
        ({"type": "HASH_PHOTODNA", "value": "1,,2"}, "value: expected numbers from 0 to 255"),
        ({"type": "HASH_PHOTODNA", "value": [1, 2]}, "value: expected a string, got list"),
        (None, "not a JSON object"),
    ],
)
def test_each_bad_item_is_rejected_with_its_reason_and_its_neighbours_are_taken(item: Any, reason: str) -> None:
    good = {"type": "HASH_MD5", "value": OTHER_MD5}
    taken = read(json.dumps([good, item, good]).encode())
    assert [row.line for row in taken.rows] == [1, 3]
    assert taken.rejected == [(2, json.dumps(item).encode())]
    assert taken.rejects[0].reason.startswith(reason)


def test_a_document_without_items_is_refused() -> None:
    with pytest.raises(ReadError, match="there is no array at data or hashRecords or indicators or the top"):
        read(b'{"error": "HASH_MD5"}', format="exchange")
