"""Tests of `hashserver.readers.hashdeep`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import BLANK, MD5, OTHER_MD5, SHA256, Row, Taken, is_hash, lines_in, read, read_blocks

from hashcore.rows import Reject
from hashserver.readers import ReadError
from hashserver.readers.hashdeep import read_hashdeep

HEAD = "%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /srv\n## $ hashdeep -r .\n##\n"


def model(text: bytes) -> Taken:
    """A listing with the header above."""
    taken = Taken()
    for number, line in lines_in(text):
        if line.startswith(b"%%%%"):
            continue
        fields = line.split(b",", 3)
        hashes = dict(zip(("md5", "sha256"), (field.strip(BLANK[:2]) for field in fields[1:3]), strict=False))
        found = {hash_type: value for hash_type, value in hashes.items() if value}
        sound = found and all(is_hash(hash_type, value) for hash_type, value in found.items())
        if len(fields) < 4 or not sound:
            taken.rejects.append(Reject(number, "", line))
            continue
        written = {hash_type: value.decode().lower() for hash_type, value in found.items()}
        taken.rows.append(Row(number, written, name=fields[3]))
    return taken


def test_names_may_hold_commas_and_quotes() -> None:
    text = f'{HEAD}12,{MD5},{SHA256},/srv/a, b.jpg\n0,{OTHER_MD5.upper()},,/srv/"c"\n'
    assert read(text.encode()).rows == [
        Row(6, {"md5": MD5, "sha256": SHA256}, name=b"/srv/a, b.jpg"),
        Row(7, {"md5": OTHER_MD5}, name=b'/srv/"c"'),
    ]


def test_columns_that_are_not_known_are_left_out() -> None:
    text = f"%%%% HASHDEEP-1.0\n%%%% size,tiger,md5,filename\n1,abc,{MD5},a\n"
    assert read(text.encode()).rows == [Row(3, {"md5": MD5}, name=b"a")]


def test_listings_put_together_are_one() -> None:
    text = f"{HEAD}1,{MD5},,a\n{HEAD}1,{OTHER_MD5},,b\n"
    assert [row.line for row in read(text.encode()).rows] == [6, 12]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{HEAD}1,{MD5},,a\n%%%% size,md5,filename\n", "line 7: this header names other columns"),
        ("%%%% HASHDEEP-1.0\n1,2,3\n", "hashdeep's header .* is missing"),
        ("%%%% HASHDEEP-1.0\n%%%% size,tiger,filename\n", "size, tiger, filename; none is a supported hash"),
        ("%%%% HASHDEEP-1.0\n%%%% size,filename,md5\n", "must end with filename"),
    ],
)
def test_a_header_that_cannot_be_read_is_named(text: str, reason: str) -> None:
    with pytest.raises(ReadError, match=f"^input.*{reason}"):
        read(text.encode())


CELLS = st.sampled_from([MD5, SHA256, "", "1", " ", MD5[1:], "a b", "é", '"', "\0", "%%%%", "#", "\r"])
LINES = st.one_of(
    st.lists(CELLS, max_size=6).map(",".join).map(str.encode),
    st.tuples(st.just(f"1,{MD5},{SHA256},".encode()), st.binary(min_size=1, max_size=5)).map(b"".join),
    st.binary(max_size=9),
).map(lambda line: line.replace(b"\n", b""))


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=10), st.integers(1, 400))
def test_blocks_of_any_size_give_what_the_model_gives(lines: list[bytes], block_bytes: int) -> None:
    text = HEAD.encode() + b"\n".join(lines)
    try:
        taken = read_blocks(read_hashdeep, text, block_bytes)
    except ReadError as error:
        assert "this header names other columns" in str(error)  # noqa: PT017 - an error is one of the answers
        return
    expected = model(text)
    assert taken.rows == expected.rows
    assert taken.rejected == expected.rejected


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_rows_rejects_or_a_read_error(data: bytes) -> None:
    for text in (data, b"%%%% HASHDEEP-1.0\n%%%% " + data):
        try:
            taken = read(text, format="hashdeep")
        except ReadError as error:
            assert str(error).startswith("input")  # noqa: PT017
        else:
            assert all(reject.line > 0 for reject in taken.rejects)
