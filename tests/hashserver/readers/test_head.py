"""Tests of `hashserver.readers.head`."""

from __future__ import annotations

import pytest
from reader_model import MD5, source_of

from hashserver.readers.head import HEAD_BYTES, Head, delimiter_of


def test_the_head_takes_nothing_from_the_source_and_is_made_once() -> None:
    source = source_of(b"\xef\xbb\xbfmd5\n" + b"x" * HEAD_BYTES)
    head = source.head
    assert source.head is head
    assert not head.is_whole
    assert head.text.startswith(b"md5\n")
    assert source.skip_byte_order_mark() == 3
    assert source.skip_byte_order_mark() == 0
    assert source.read(4) == b"md5\n"


def test_records_are_read_once_for_each_delimiter() -> None:
    head = Head(f'\r\n\n"a;b";"c\nd"\n{MD5};2\n'.encode())
    assert head.delimiter == ord(";")
    assert head.records(ord(";")) == [["a;b", "c\nd"], [MD5, "2"]]
    assert head.records(ord(";")) is head.records(ord(";"))


def test_a_record_that_the_head_cuts_off_is_left_out() -> None:
    row = b"%s,1\n" % MD5.encode()
    head = Head((b"x" * 1000 + b"\n" + row * 3000)[:HEAD_BYTES])
    assert head.records(ord(",")) == [["x" * 1000], *[[MD5, "1"]] * 99]
    cut = Head((b"x,y\n" + b"z" * HEAD_BYTES)[:HEAD_BYTES])
    assert cut.records(ord(",")) == [["x", "y"]]


@pytest.mark.parametrize(
    ("record", "delimiter"), [(b"a,b;c;d", b";"), (b"a\tb", b"\t"), (b"a,b", b","), (b"", b",")]
)
def test_the_delimiter_is_the_one_that_stands_most_often(record: bytes, delimiter: bytes) -> None:
    assert delimiter_of(record) == delimiter[0]


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "<a/>"])
def test_utf16_is_known_with_and_without_a_mark(text: str) -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert Head(text.encode(encoding)).is_utf16
    assert not Head(text.encode()).is_utf16
    assert not Head(text.encode("utf-8-sig")).is_utf16


@pytest.mark.parametrize(
    ("text", "is_json"), [(' \n{"a": 1}', True), ("\ufeff[", True), ("<a/>", False), ("", False)]
)
def test_json_begins_with_an_object_or_an_array(text: str, is_json: bool) -> None:
    assert Head(text.encode()).is_json == is_json
