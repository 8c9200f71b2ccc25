"""Tests of `hashserver.readers.exchange_csv`."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, is_hash, read, read_blocks

from hashserver.readers import ReadError
from hashserver.readers.exchange_csv import read_exchange_csv

KINDS = {
    "HASH_MD5": "md5",
    "HASH_SHA1": "sha1",
    "HASH_SHA256": "sha256",
    "HASH_PDQ": "pdq",
    "HASH_VIDEO_MD5": "md5",
}


def test_each_row_names_its_type() -> None:
    text = (
        "id,indicator,type,status,category\n"
        f"1,{SHA256.upper()},HASH_PDQ,x,a\n2,{SHA256},HASH_SHA256,x,\n"
        f'3,"{MD5}","HASH_MD5",x,b\n4,{OTHER_MD5}, hash_video_md5 ,x,a\n5,{SHA1},sha1,x,a\n'
    )
    assert read(text.encode()).rows == [
        Row(2, {"pdq": SHA256}, "a", b"1"),
        Row(3, {"sha256": SHA256}, None, b"2"),
        Row(4, {"md5": MD5}, "b", b"3"),
        Row(5, {"md5": OTHER_MD5}, "a", b"4"),
        Row(6, {"sha1": SHA1}, "a", b"5"),
    ]


def test_photodna_goes_by_the_names_of_both_exchanges() -> None:
    digest = bytes(range(144))
    text = f"indicator,type\n{digest.hex()},HASH_PHOTODNA\n{b64encode(digest).decode()},ImagePhotoDNA\n"
    taken = read(text.encode())
    assert taken.rows == [Row(line, {"photodna": digest.hex()}) for line in (2, 3)]


def test_rows_of_other_types_and_hashes_of_the_wrong_length_are_rejected() -> None:
    text = f"indicator,type\nhttp://a.example,URI\n{MD5},HASH_PDQ\n{MD5},\n,HASH_MD5\n{MD5},HASH_MD5,x\n{MD5},HASH_MD5\n"
    taken = read(text.encode())
    assert taken.rows == [Row(7, {"md5": MD5})]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (2, "type 'URI' is not a supported hash type"),
        (3, "pdq: expected 64 hexadecimal digits, got 32"),
        (4, "type '' is not a supported hash type"),
        (5, "no hash in this row"),
        (6, "expected 2 columns, got 3"),
    ]


def test_a_file_without_such_a_header_is_refused_with_advice() -> None:
    with pytest.raises(ReadError, match="input: the header must name the columns indicator and type"):
        read(f"{MD5},HASH_MD5\n".encode(), format="exchange-csv")


CELLS = st.sampled_from([MD5, SHA1, SHA256, "", "x", "é", "\0"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(CELLS, st.sampled_from([*KINDS, "URI", "", "hash_pdq"])), max_size=8),
    st.integers(1, 200),
    st.sampled_from([",", ";", "\t"]),
)
def test_blocks_of_any_size_give_what_the_model_gives(
    rows: list[tuple[str, str]], block_bytes: int, delimiter: str
) -> None:
    text = "".join(delimiter.join(row) + "\n" for row in [("indicator", "type"), *rows])
    taken = read_blocks(read_exchange_csv, text.encode(), block_bytes)
    expected, rejected = [], []
    for line, (indicator, name) in enumerate(rows, 2):
        hash_type = KINDS.get(name.upper())
        if hash_type is not None and is_hash(hash_type, indicator.encode()):
            expected.append(Row(line, {hash_type: indicator}))
        else:
            rejected.append(line)
    assert taken.rows == expected
    assert [reject.line for reject in taken.rejects] == rejected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_give_rows_rejects_or_a_read_error(data: bytes, header: bool) -> None:
    errors = []
    try:
        read((b"indicator,type\n" if header else b"") + data, format="exchange-csv")
    except ReadError as error:
        errors.append(str(error))
    assert all(error.startswith("input") for error in errors)
