"""Tests of `hashserver.readers.csv_text`."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, Row, model_csv, read, read_blocks

from hashserver.readers import ReadError
from hashserver.readers.csv_text import read_csv


def reasons(data: bytes) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in read(data, format="csv").rejects]


def test_a_header_names_the_columns_in_any_order_and_case() -> None:
    taken = read(f"notes,Category,SHA-1,id,MD5,path\nx,baseline,{SHA1},A-17,{MD5},a/b.jpg\n".encode())
    assert taken.rows == [Row(2, {"md5": MD5, "sha1": SHA1}, "baseline", b"A-17", b"a/b.jpg")]
    assert not taken.rejects


def test_a_column_named_hash_holds_the_type_that_was_chosen() -> None:
    text = f"hash,id\n{SHA256},P-1\n".encode()
    assert read(text, hash_type="pdq").rows == [Row(2, {"pdq": SHA256}, None, b"P-1")]
    with pytest.raises(ReadError, match="--type"):
        read(text)


def test_several_hashes_in_a_row_and_empty_cells() -> None:
    text = (
        "md5,sha1,sha256,pdq,phash,category,id\n"
        f"{MD5},{SHA1},{SHA256},{SHA256},{PHASH},c,1\n"
        f",{SHA1},,,,,\n"
        f",,,,{PHASH.upper()},c,\n"
    )
    every = {"md5": MD5, "sha1": SHA1, "sha256": SHA256, "pdq": SHA256, "phash": PHASH}
    assert read(text.encode()).rows == [
        Row(2, every, "c", b"1"),
        Row(3, {"sha1": SHA1}, None, b""),
        Row(4, {"phash": PHASH}, "c", b""),
    ]


def test_without_a_header_hashes_are_known_by_their_digits() -> None:
    taken = read(f"A-17,{MD5},{SHA1}\nB-2,{OTHER_MD5},\n".encode())
    assert taken.rows == [
        Row(1, {"md5": MD5, "sha1": SHA1}, None, b"A-17", b"A-17"),
        Row(2, {"md5": OTHER_MD5}, None, b"B-2", b"B-2"),
    ]


def test_without_a_header_two_other_columns_are_not_guessed_at() -> None:
    assert read(f"A-17,{MD5},baseline\n".encode()).rows == [Row(1, {"md5": MD5})]


def test_the_named_type_settles_what_64_digits_are() -> None:
    text = f"{SHA256},A-17\n".encode()
    assert read(text).rows[0].hashes == {"sha256": SHA256}
    assert read(text, hash_type="pdq").rows[0].hashes == {"pdq": SHA256}
    assert read(b"sha256,id\n" + text, hash_type="pdq").rows[0].hashes == {"sha256": SHA256}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_delimiters_line_ends_and_a_byte_order_mark(delimiter: str, end: str, mark: str, last: bool) -> None:
    lines = [delimiter.join(fields) for fields in (["md5", "id"], [MD5, "1"], [OTHER_MD5.upper(), "2"])]
    taken = read((mark + end.join(lines) + (end if last else "")).encode())
    assert taken.rows == [Row(2, {"md5": MD5}, None, b"1"), Row(3, {"md5": OTHER_MD5}, None, b"2")]
    assert not taken.rejects


def test_quoted_fields_hold_delimiters_quotes_and_line_ends() -> None:
    text = f'"md5","id","category"\r\n"{MD5}","a, ""b""\r\nc"," x "\r\n{OTHER_MD5},"",""""\r\n'
    assert read(text.encode()).rows == [
        Row(2, {"md5": MD5}, "x", b'a, "b"\r\nc'),
        Row(4, {"md5": OTHER_MD5}, '"', b""),
    ]


@pytest.mark.parametrize("odd", ['"two\nlines"', '"a\r\n""b"""', "form\ffeed", "line\u2028separator"])
def test_a_header_may_hold_line_ends_of_all_sorts(odd: str) -> None:
    taken = read(f"\nmd5,{odd},id\n{MD5},x,1\n".encode())
    assert taken.rows == [Row(odd.count("\n") + 3, {"md5": MD5}, None, b"1")]
    assert not taken.rejects


def test_each_kind_of_bad_row_is_rejected_with_its_line_and_reason_and_no_other_row_is() -> None:
    lines = [
        b"md5,category,id",
        f"{MD5},c,1".encode(),
        f"{MD5},c".encode(),
        f"{MD5},c,1,2".encode(),
        b"",
        f"{MD5[:-1]},c,1".encode(),
        f"{MD5[:-1]}g,c,1".encode(),
        b",c,1",
        f'"{MD5}"x,c,1'.encode(),
        f"{MD5},{'c' * 201},1".encode(),
        f"{MD5},c,".encode() + b"\xff",
        f"{MD5},\xe9,1".encode("latin-1"),
        f'{MD5},"c,1'.encode(),
        f"{OTHER_MD5},c,2".encode(),
    ]
    data = b"\n".join(lines)
    taken = read(data)
    assert [(row.line, row.hashes["md5"]) for row in taken.rows] == [
        *((line, MD5) for line in (2, 3, 11, 12)),
        (14, OTHER_MD5),
    ]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (4, "expected 3 columns, got 4"),
        (6, "md5: expected 32 hexadecimal digits, got 31"),
        (7, "md5: character 32 is not a hexadecimal digit"),
        (8, "no hash in this row"),
        (9, "a quote that is not closed, or text after a closing quote"),
        (10, "category: longer than 200 bytes"),
        (13, "a quote that is not closed, or text after a closing quote"),
    ]
    assert [reject.text for reject in taken.rejects] == [lines[reject.line - 1] for reject in taken.rejects]


def test_one_bad_hash_of_two_turns_the_row_away() -> None:
    assert reasons(f"md5,sha1\n{MD5},{SHA1[:-1]}\n".encode()) == [
        (2, "sha1: expected 40 hexadecimal digits, got 39")
    ]


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    rows = [f"{number:032x},{number}" for number in range(50)]
    rows[20] = f'"{rows[20]}'
    taken = read("\n".join(["md5,id", *rows]).encode())
    assert taken.rejected == [(22, rows[20].encode())]
    assert [row.line for row in taken.rows] == [line for line in range(2, 52) if line != 22]


def test_a_character_cut_by_a_delimiter_is_not_healed_by_the_next_cell() -> None:
    data = f"md5,id\n{MD5},".encode() + b"\xc3\n" + f"{OTHER_MD5},".encode() + b"\x81\n"
    assert reasons(data) == [(3, "id: the text is neither UTF-8 nor Windows-1252")]
    assert [row.id for row in read(data).rows] == ["\u00c3".encode()]


@pytest.mark.parametrize("data", [b"", b"\n\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_file_without_records_has_no_rows(data: bytes) -> None:
    taken = read(data, format="csv")
    assert not taken.rows
    assert not taken.rejects


@pytest.mark.parametrize("data", [b"md5", b"md5,id\n", b"\r\nmd5;id\r\n"])
def test_a_header_alone_has_no_rows(data: bytes) -> None:
    taken = read(data, format="csv")
    assert not taken.rows
    assert not taken.rejects


@pytest.mark.parametrize("data", [b"name,size\nx,1\n", b"\n" * 100_000 + MD5.encode(), b"\0\0\0,\0\n"])
def test_a_file_in_which_no_column_holds_hashes_is_refused_with_advice(data: bytes) -> None:
    with pytest.raises(ReadError, match=r"cannot tell which column holds hashes.*--type"):
        read(data, format="csv")


def test_nul_bytes_spoil_their_cells_only() -> None:
    taken = read(f"md5,id\n{MD5},a\0b\n{MD5[:-1]}\0,c\n{OTHER_MD5},d\n".encode())
    assert [(row.line, row.id) for row in taken.rows] == [(2, b"a\0b"), (4, b"d")]
    assert taken.rejected == [(3, f"{MD5[:-1]}\0,c".encode())]


def test_categories_are_kept_apart_across_blocks() -> None:
    text = "md5,category\n" + "".join(f"{number:032x},c{number % 7}\n" for number in range(300))
    taken = read_blocks(read_csv, text.encode(), 256)
    assert [row.category for row in taken.rows] == [f"c{number % 7}" for number in range(300)]


CELLS = st.sampled_from(
    [
        MD5.encode(),
        OTHER_MD5.upper().encode(),
        b" " + MD5.encode() + b"\t",
        b'"' + MD5.encode() + b'"',
        MD5[:-1].encode(),
        SHA1.encode(),
        b"",
        b" ",
        b"a",
        b'"a""b"',
        b'"a,b"',
        b'"a\nb"',
        b'"a\r\n"',
        b'"',
        b'""',
        b'""""',
        b'"""',
        b'a"b',
        b'"a"b',
        b"\r",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xa9",
        "é".encode(),
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])
RECORDS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([MD5.encode(), OTHER_MD5.encode(), b""]),
            CELLS,
            CELLS,
            st.sampled_from([SHA1.encode(), b""]),
        ),
        st.lists(CELLS, min_size=1, max_size=5).map(tuple),
    ).map(b",".join),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(
    RECORDS.flatmap(lambda records: st.tuples(*(ENDS.map(lambda end, r=record: r + end) for record in records))),
    st.sampled_from([b"", MD5.encode() + b",,,", b'"', b"x,y,z", b"\r"]),
    st.integers(1, 300),
    st.booleans(),
)
@example((b'"\n', b'"\n', b'"\n'), b'"', 1, False)
def test_blocks_of_any_size_give_what_the_model_gives(
    records: tuple[bytes, ...], last: bytes, block_bytes: int, mark: bool
) -> None:
    text = (b"\xef\xbb\xbf" if mark else b"") + b"md5,category,id,sha1\n" + b"".join(records) + last
    expected = model_csv(text)
    taken = read_blocks(read_csv, text, block_bytes)
    assert taken.rows == expected.rows
    assert taken.rejected == expected.rejected


def test_a_huge_line_is_rejected_in_bounded_memory_and_its_neighbours_are_taken() -> None:
    data = f"md5,id\n{MD5},1\n".encode() + b"x" * (150 << 20) + f"\n{OTHER_MD5},2\n".encode()
    tracemalloc.start()
    try:
        taken = read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.line for row in taken.rows] == [2, 4]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (3, "longer than 1,048,576 bytes; is the format right?")
    ]
    assert peak < 100 << 20


def test_an_open_quote_before_megabytes_costs_its_own_line_only() -> None:
    rows = b"".join(b"%032x,1\n" % number for number in range(400_000))
    taken = read(b'md5,id\n"' + rows)
    assert [reject.line for reject in taken.rejects] == [2]
    assert len(taken.rows) == 399_999
    assert [taken.rows[0].line, taken.rows[-1].line] == [3, 400_001]
