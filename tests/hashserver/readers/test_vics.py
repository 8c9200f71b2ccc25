"""Tests of `hashserver.readers.vics`."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, read, read_blocks

from hashserver.readers import ReadError
from hashserver.readers.vics import read_vics

HEADS = {
    f"1.{minor}": ("odata.metadata", f"http://github.com/ICMEC/ProjectVic/DataModels/1.{minor}.xml#")
    for minor in (1, 2, 3)
} | {
    f"2.0 {place}": (
        "@odata.context",
        f"http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/{place}/$metadata#",
    )
    for place in ("US", "UK", "CUSTOM")
}
MEDIA: list[dict[str, Any]] = [
    {
        "MediaID": 17,
        "Category": 1,
        "MD5": MD5.upper(),
        "SHA1": SHA1.upper(),
        "MediaSize": 1234,
        "Series": "S",
        "Tags": "a,b",
        "VictimIdentified": "true",
        "OffenderIdentified": False,
        "IsDistributed": True,
        "MediaFiles": [{"FileName": "a", "MD5": OTHER_MD5}],
    },
    {"MediaID": "x", "Category": None, "MD5": None, "SHA1": SHA1},
    {"MD5": OTHER_MD5, "SHA256": SHA256, "Category": 0},
]
ROWS = [
    Row(1, {"md5": MD5, "sha1": SHA1}, "1", b"17"),
    Row(2, {"sha1": SHA1}, None, b"x"),
    Row(3, {"md5": OTHER_MD5, "sha256": SHA256}, "0", b""),
]


@pytest.mark.parametrize("version", HEADS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("cases", [False, True])
def test_every_version_is_known_and_read(version: str, indent: int | None, cases: bool) -> None:
    name, model = HEADS[version]
    document: dict[str, Any] = {name: model + ("Cases" if cases else "Media"), "value": MEDIA}
    if cases:
        document["value"] = [
            {"CaseID": "1", "Media": MEDIA[:1]},
            {"CaseID": "2", "Media": None},
            {"CaseID": "3", "Media": []},
            {"Media": MEDIA[1:], "CaseID": "4"},
        ]
    data = json.dumps(document, indent=indent).encode()
    taken = read(data)
    assert taken.rows == ROWS
    assert not taken.rejects
    assert [row.hashes for row in read_blocks(read_vics, data, 100).rows] == [row.hashes for row in ROWS]


@pytest.mark.parametrize("value", [MEDIA, [{"Media": MEDIA}]])
def test_a_document_without_a_head_is_read_when_it_is_called_vics(value: list[Any]) -> None:
    assert read(json.dumps({"value": value}).encode(), format="vics").rows == ROWS


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        ({"MediaID": 1}, "no hash in this row"),
        ({"MD5": MD5, "SHA1": SHA1[:-1]}, "sha1: expected 40 hexadecimal digits, got 39"),
        ({"MD5": 5}, "MD5: expected a string, got int"),
        ({"MD5": MD5, "MediaID": True}, "MediaID: expected a string, got bool"),
        ({"MD5": MD5, "Category": [1]}, "Category: expected a string, got list"),
        ({"MD5": MD5, "Category": "c" * 201}, "category: longer than 200 bytes"),
        ([], "not a JSON object; it begins at byte "),
    ],
)
def test_each_bad_item_is_rejected_with_its_reason_and_its_neighbours_are_taken(media: Any, reason: str) -> None:
    name, model = HEADS["1.3"]
    data = json.dumps({name: model + "Media", "value": [MEDIA[0], media, MEDIA[0]]}).encode()
    taken = read(data)
    assert [row.line for row in taken.rows] == [1, 3]
    assert taken.rejected == [(2, json.dumps(media).encode())]
    assert taken.rejects[0].reason.startswith(reason)


def test_a_truncated_distribution_is_refused() -> None:
    name, model = HEADS["2.0 US"]
    data = json.dumps({name: model + "Media", "value": MEDIA}).encode()
    with pytest.raises(ReadError, match=r"line 1, byte \d+: the document ends within the array, at item 3"):
        read(data[:-10])


DIGEST = bytes(range(144))


@pytest.mark.parametrize("text", ["x", "é" * 192, "A" * 188, "A" * 196, "=" * 192, 7, "*" * 192])
def test_what_is_no_photodna_is_refused(text: Any) -> None:
    name, model = HEADS["2.0 UK"]
    taken = read(json.dumps({name: model + "Media", "value": [{"MD5": MD5, "PhotoDNA": text}]}).encode())
    assert not taken.rows
    assert "photodna" in taken.rejects[0].reason.lower()


def test_photodna_is_base64_or_hexadecimal() -> None:
    name, model = HEADS["2.0 UK"]
    encoded = base64.b64encode(DIGEST).decode()
    media = [
        {"MD5": MD5, "PhotoDNA": encoded},
        {"MD5": MD5, "PhotoDNA": DIGEST.hex().upper()},
        {"MD5": MD5, "AlternativeHashes": [{"HashName": "x"}, {"HashName": "PhotoDNA", "HashValue": encoded}]},
        {"MD5": MD5, "PhotoDNA": None, "AlternativeHashes": None},
    ]
    taken = read(json.dumps({name: model + "Media", "value": media}).encode())
    expected = {"md5": MD5, "photodna": DIGEST.hex()}
    assert [row.hashes for row in taken.rows] == [expected, expected, expected, {"md5": MD5}]


def test_the_model_may_stand_after_the_media() -> None:
    media = ", ".join(f'{{"MediaID": {number}, "Category": 1, "MD5": "{MD5}"}}' for number in range(3))
    address = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"
    for end in (f', "odata.metadata": "{address}"', ""):
        taken = read(f'{{"value": [{media}]{end}}}'.encode())
        assert [row.id for row in taken.rows] == [b"0", b"1", b"2"]
        assert not taken.rejects
