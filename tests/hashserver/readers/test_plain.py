"""Tests of `hashserver.readers.plain`."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, Row, model_text, read, read_blocks

from hashcore.errors import UnknownHashType
from hashserver.readers import ReadError
from hashserver.readers.plain import read_text


@pytest.mark.parametrize(
    ("hash_type", "written"), [("md5", MD5), ("sha1", SHA1), ("sha256", SHA256), ("phash", PHASH)]
)
def test_the_type_is_known_by_the_digits(hash_type: str, written: str) -> None:
    assert read(f"{written}\n{written.upper()}\n".encode()).rows == [
        Row(1, {hash_type: written}),
        Row(2, {hash_type: written}),
    ]


def test_the_named_type_settles_what_64_digits_are() -> None:
    assert read(f"{SHA256}\n".encode(), hash_type="pdq").rows == [Row(1, {"pdq": SHA256})]


def test_an_unknown_type_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UnknownHashType, match="known types: md5"):
        read(b"", hash_type="md6")


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ReadError, match=r"'xlsx'; known formats: csv, text, sums, jsonl, parquet"):
        read(b"", format="xlsx")


def test_comments_and_blank_lines_count_as_lines() -> None:
    taken = read(f"# a list\r\n\r\n  {MD5}\t\r\n \t\r\n#{MD5}\n{OTHER_MD5}".encode())
    assert taken.rows == [Row(3, {"md5": MD5}), Row(6, {"md5": OTHER_MD5})]
    assert not taken.rejects


def test_each_bad_line_is_rejected_with_its_reason_and_no_other_line_is() -> None:
    lines = [MD5, MD5[:-1], f"{MD5[:5]}x{MD5[6:]}", SHA1, "\0" * 32, "é" * 16, f"{MD5} {MD5}", OTHER_MD5]
    taken = read("\n".join(lines).encode(), format="text")
    assert [row.line for row in taken.rows] == [1, 8]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (2, "md5: expected 32 hexadecimal digits, got 31"),
        (3, "md5: character 6 is not a hexadecimal digit"),
        (4, "md5: expected 32 hexadecimal digits, got 40"),
        (5, "md5: character 1 is not a hexadecimal digit"),
        (6, "md5: character 1 is not a hexadecimal digit"),
        (7, "md5: expected 32 hexadecimal digits, got 65"),
    ]
    assert [reject.text for reject in taken.rejects] == [line.encode() for line in lines[1:-1]]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \t\n" * 50, b"# only\n# comments", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("hash_type", [None, "md5"])
@pytest.mark.parametrize("format", [None, "text"])
def test_a_file_without_a_line_has_no_rows(data: bytes, hash_type: str | None, format: str | None) -> None:
    taken = read(data, format=format, hash_type=hash_type)
    assert not taken.rows
    assert not taken.rejects


def test_hashes_after_very_many_blank_lines_are_not_lost_silently() -> None:
    data = b"\n" * 100_000 + MD5.encode()
    with pytest.raises(ReadError, match="name the type with --type"):
        read(data)
    assert read(data, hash_type="md5").rows == [Row(100_001, {"md5": MD5})]


def test_a_file_without_hashes_is_refused_with_advice() -> None:
    with pytest.raises(ReadError, match="none of the first lines is a hash; name the type with --type"):
        read(b"hello\nworld\n", format="text")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf16_is_read(encoding: str) -> None:
    taken = read(f"{MD5}\r\n{OTHER_MD5}\r\n".encode(encoding))
    assert [(row.line, row.hashes) for row in taken.rows] == [(1, {"md5": MD5}), (2, {"md5": OTHER_MD5})]
    assert not taken.rejects


def test_utf32_is_refused_with_advice() -> None:
    for format in (None, "text"):
        with pytest.raises(ReadError, match="UTF-32 text; save it as UTF-8"):
            read(f"{MD5}\n".encode("utf-32"), format=format, hash_type="md5")


LINES = st.lists(
    st.one_of(
        st.sampled_from([MD5.encode(), OTHER_MD5.upper().encode(), b" " + MD5.encode() + b"\t", b"", b" ", b"\r"]),
        st.sampled_from([b"#", b"# x", MD5[:-1].encode(), SHA1.encode(), MD5.encode() + b"#", b"\xef\xbb\xbf"]),
        st.binary(max_size=40),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\n\n"]), st.booleans(), st.integers(1, 200))
def test_blocks_of_any_size_give_what_the_model_gives(
    lines: list[bytes], end: bytes, last: bool, block_bytes: int
) -> None:
    text = end.join(lines) + (end if last else b"")
    expected = model_text(text.removeprefix(b"\xef\xbb\xbf"), "md5")
    taken = read_blocks(read_text, text, block_bytes, "md5")
    assert taken.rows == expected.rows
    assert taken.rejected == expected.rejected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 3)), min_size=1, max_size=6), st.integers(1, 300))
def test_lines_too_long_to_hold_are_rejected_once_each(lines: list[tuple[int, int]], block_bytes: int) -> None:
    text = b"".join(b"x" * size + b"\n" + MD5.encode() + b"\n" * (blanks + 1) for size, blanks in lines)
    expected = model_text(text, "md5")
    taken = read_blocks(read_text, text, block_bytes, "md5")
    assert taken.rows == expected.rows
    assert taken.rejected == [(line, text[:1000]) for line, text in expected.rejected]


@pytest.mark.parametrize("last", [b"", b"\n", b"\n" + OTHER_MD5.encode()])
def test_a_huge_line_is_rejected_in_bounded_memory_and_its_neighbours_are_taken(last: bytes) -> None:
    data = MD5.encode() + b"\n" + b"a" * (150 << 20) + last
    tracemalloc.start()
    try:
        taken = read(data, hash_type="md5")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.line for row in taken.rows] == ([1, 3] if len(last) > 1 else [1])
    assert [reject.line for reject in taken.rejects] == [2]
    assert "longer than 1,048,576 bytes" in taken.rejects[0].reason
    assert peak < 100 << 20
