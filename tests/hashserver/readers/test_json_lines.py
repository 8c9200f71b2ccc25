"""Tests of `hashserver.readers.json_lines`."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, Row, is_hash, read, read_blocks

from hashcore.hashtypes import HASH_TYPES
from hashserver.readers.json_lines import read_json_lines


def test_keys_name_the_columns_in_any_case_and_others_are_passed_over() -> None:
    lines = [
        {"MD5": MD5.upper(), "category": "c", "id": "A-17", "path": "a b.jpg", "size": 1, "more": {"md5": "x"}},
        {"SHA-1": SHA1, "sha256": SHA256, "pdq": SHA256, "phash": PHASH, "id": 17},
        {"md5": None, "sha1": SHA1, "category": None, "id": "a\nb"},
    ]
    taken = read("\n".join(map(json.dumps, lines)).encode())
    assert taken.rows == [
        Row(1, {"md5": MD5}, "c", b"A-17", b"a b.jpg"),
        Row(2, {"sha1": SHA1, "sha256": SHA256, "pdq": SHA256, "phash": PHASH}, None, b"17", b""),
        Row(3, {"sha1": SHA1}, None, b"a\nb", b""),
    ]
    assert not taken.rejects


def test_a_byte_order_mark_blank_lines_and_crlf_are_passed_over() -> None:
    taken = read(b'\xef\xbb\xbf{"md5":"%s"}\r\n\r\n \t\n {"md5":"%s"} ' % (MD5.encode(), OTHER_MD5.encode()))
    assert taken.rows == [Row(1, {"md5": MD5}), Row(4, {"md5": OTHER_MD5})]
    assert not taken.rejects


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: "),
        ('{"md5": NaN}', "not JSON: "),
        ('{"md5": "' + MD5, "not JSON: "),
        (f'{{"md5": "{MD5}"}} x', "not JSON: "),
        (f'{{"md5": "{MD5}", "id": "\\ud800"}}', "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "not JSON: "),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        (f'"{MD5}"', "not a JSON object"),
        ("1e999", "not JSON: "),
        ('{"md5": 5}', "md5: expected a string, got int"),
        (f'{{"md5": ["{MD5}"]}}', "md5: expected a string, got list"),
        (f'{{"md5": "{MD5}", "category": [1]}}', "category: expected a string, got list"),
        (f'{{"md5": "{MD5}", "id": true}}', "id: expected a string, got bool"),
        (f'{{"md5": "{MD5}", "id": {"9" * 30}}}', "id: expected a string, got float"),
        (f'{{"md5": "{MD5}", "id": {{}}}}', "id: expected a string, got dict"),
        (f'{{"md5": "{MD5[:-1]}"}}', "md5: expected 32 hexadecimal digits, got 31"),
        (f'{{"md5": "{MD5}", "sha1": "{MD5}"}}', "sha1: expected 40 hexadecimal digits, got 32"),
        (f'{{"md5": "{MD5[:-2]}é"}}', "md5: character 31 is not a hexadecimal digit"),
        ("{}", "no hash in this row"),
        ('{"md5": "  "}', "no hash in this row"),
        ('{"md5": null, "id": "x"}', "no hash in this row"),
        (f'{{"md5": "{MD5}", "category": "{"c" * 201}"}}', "category: longer than 200 bytes"),
    ],
)
def test_each_bad_line_is_rejected_with_its_reason_and_its_neighbours_are_taken(line: str, reason: str) -> None:
    good = json.dumps({"md5": MD5, "id": "x", "category": "c"})
    taken = read(f"{good}\n{line}\n\n{good}\n".encode(), format="jsonl")
    assert [row.line for row in taken.rows] == [1, 4]
    assert [row.id for row in taken.rows] == [b"x", b"x"]
    assert taken.rejected == [(2, line.encode()[:1000])]
    assert taken.rejects[0].reason.startswith(reason)


def test_bytes_that_are_not_text_are_rejected() -> None:
    taken = read(b'{"md5": "%s", "id": "\xff"}\n{"md5": "%s"}\n' % (MD5.encode(), OTHER_MD5.encode()))
    assert [reject.line for reject in taken.rejects] == [1]
    assert [row.line for row in taken.rows] == [2]


def test_a_file_in_which_every_line_is_bad_has_rejects_only() -> None:
    taken = read(b"{\n{}\n[]\n", format="jsonl")
    assert not taken.rows
    assert [reject.line for reject in taken.rejects] == [1, 2, 3]


def test_a_pretty_printed_document_is_rejected_and_not_misread() -> None:
    taken = read(json.dumps([{"md5": MD5}], indent=2).encode(), format="jsonl")
    assert not taken.rows
    assert [reject.line for reject in taken.rejects] == [1, 2, 3, 4, 5]


VALUES = st.one_of(
    st.sampled_from(
        [MD5, OTHER_MD5.upper(), f" {MD5}\t", MD5[:-1], SHA1, SHA1.upper(), PHASH, "", "é", "c" * 201]
    ),
    st.sampled_from([None, True, 7, 1.5, [], {}]),
    st.text(max_size=5),
)
OBJECTS = st.dictionaries(
    st.sampled_from(["md5", "sha1", "phash", "category", "id", "name", "x"]), VALUES, max_size=5
)


def model(line: int, value: Any) -> Row | None:
    texts: dict[str, str] = {}
    for key in ("md5", "sha1", "phash", "category", "id", "name"):
        item = value.get(key)
        if key == "category" and isinstance(item, bool | int | float):
            item = str(item).lower() if isinstance(item, bool) else str(item)
        if key == "id" and type(item) is int:
            item = str(item)
        if item is not None and not isinstance(item, str):
            return None
        texts[key] = (item or "") if key == "name" else (item or "").strip(" \t")
    hashes = {hash_type: texts[hash_type] for hash_type in HASH_TYPES if texts.get(hash_type)}
    if not hashes or not all(is_hash(hash_type, text.encode()) for hash_type, text in hashes.items()):
        return None
    if len(texts["category"].encode()) > 200:
        return None
    return Row(
        line,
        {hash_type: text.lower() for hash_type, text in hashes.items()},
        texts["category"] or None,
        texts["id"].encode(),
        texts["name"].encode(),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(OBJECTS, max_size=8), st.sampled_from(["\n", "\r\n", "\n\n"]), st.integers(1, 400), st.booleans())
def test_blocks_of_any_size_give_what_the_model_gives(
    values: list[Any], end: str, block_bytes: int, ascii_only: bool
) -> None:
    text = "".join(json.dumps(value, ensure_ascii=ascii_only) + end for value in values)
    step = end.count("\n")
    expected = [(1 + step * index, model(1 + step * index, value)) for index, value in enumerate(values)]
    taken = read_blocks(read_json_lines, text.encode(), block_bytes)
    # A column that no row of a block has is None there, and empty in a block where another row has
    # it.
    rows = [Row(row.line, row.hashes, row.category, row.id or b"", row.name or b"") for row in taken.rows]
    assert rows == [row for _, row in expected if row is not None]
    assert [reject.line for reject in taken.rejects] == [line for line, row in expected if row is None]


def test_a_huge_line_is_rejected_in_bounded_memory_and_its_neighbours_are_taken() -> None:
    good = json.dumps({"md5": MD5}).encode()
    data = good + b'\n{"md5": "' + b"a" * (150 << 20) + b'"}\n' + good
    tracemalloc.start()
    try:
        taken = read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.line for row in taken.rows] == [1, 3]
    assert [reject.line for reject in taken.rejects] == [2]
    assert peak < 100 << 20
