"""Tests of `hashserver.readers.sums`."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, PHASH, SHA1, SHA256, Row, model_sums, read, read_blocks

from hashserver.readers import ReadError
from hashserver.readers.sums import read_sums


@pytest.mark.parametrize(
    ("line", "hash_type", "name"),
    [
        (f"{MD5}  a.jpg", "md5", b"a.jpg"),
        (f"{MD5} *a.jpg", "md5", b"a.jpg"),
        (f"{SHA1}  dir/with two  spaces.jpg", "sha1", b"dir/with two  spaces.jpg"),
        (f"{SHA256}   begins with a space", "sha256", b" begins with a space"),
        (f"{SHA256} **", "sha256", b"*"),
        (f"{MD5.upper()}  A", "md5", b"A"),
        (f"\\{MD5}  a\\nb\\\\c\\rd", "md5", b"a\nb\\c\rd"),
        (f"\\{MD5} *\\\\n", "md5", b"\\n"),
        (f"{MD5}  a\\nb", "md5", b"a\\nb"),
        (f"MD5 (a.jpg) = {MD5}", "md5", b"a.jpg"),
        (f"MD5(a (1).jpg)= {MD5.upper()}", "md5", b"a (1).jpg"),
        (f"SHA1 (a) = b) = {SHA1}", "sha1", b"a) = b"),
        (f"SHA2-256(x)= {SHA256}", "sha256", b"x"),
        (f"\\SHA256 (a\\nb) = {SHA256}", "sha256", b"a\nb"),
        (f"{MD5}  é", "md5", "é".encode()),
        (f"{MD5}  ends with blanks \t ", "md5", b"ends with blanks \t "),
        (f"\\{MD5}   a\\nb ", "md5", b" a\nb "),
        (f"MD5 ( a ) = {MD5} ", "md5", b" a "),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_form_of_line(line: str, hash_type: str, name: bytes, end: str) -> None:
    taken = read((line + end).encode())
    written = {"md5": MD5, "sha1": SHA1, "sha256": SHA256, "phash": PHASH}[hash_type]
    assert taken.rows == [Row(1, {hash_type: written}, name=name)]
    assert not taken.rejects


def test_a_name_may_be_nothing_but_blanks() -> None:
    text = f"{MD5}  a\n{OTHER_MD5}     \n{MD5}  \n".encode()
    taken = read(text)
    assert [row.name for row in taken.rows] == [b"a", b"   "]
    assert [reject.line for reject in taken.rejects] == [3]


def test_types_may_be_mixed_line_by_line() -> None:
    text = f"{MD5}  a\n{SHA1}  b\n\n# note\nSHA256 (c) = {SHA256}\n{OTHER_MD5} *d\n"
    assert read(text.encode()).rows == [
        Row(1, {"md5": MD5}, name=b"a"),
        Row(2, {"sha1": SHA1}, name=b"b"),
        Row(5, {"sha256": SHA256}, name=b"c"),
        Row(6, {"md5": OTHER_MD5}, name=b"d"),
    ]


def test_the_named_type_settles_what_64_digits_are_but_not_what_bsd_names() -> None:
    text = f"{SHA256}  a\n\\{SHA256}  b\nSHA256 (c) = {SHA256}\n".encode()
    assert [row.hashes for row in read(text, hash_type="pdq").rows] == [
        {"pdq": SHA256},
        {"pdq": SHA256},
        {"sha256": SHA256},
    ]


def test_names_need_not_be_text() -> None:
    assert read(MD5.encode() + b"  \xff\xfe\0.jpg\n").rows == [Row(1, {"md5": MD5}, name=b"\xff\xfe\0.jpg")]


def test_each_bad_line_is_rejected_with_its_reason_and_no_other_line_is() -> None:
    form = "expected a hash of 32, 40 or 64 hexadecimal digits, two spaces and a file name"
    lines = [
        f"{MD5}  good",
        f"{MD5[:-1]}  short",
        f"{MD5[:-1]}x  no digit",
        MD5,
        f"{MD5} one space",
        f"{MD5}  ",
        f"SHA1 (name) = {MD5}",
        "hello",
        "\\",
        f"{OTHER_MD5}  good",
    ]
    taken = read("\n".join(lines).encode())
    assert [row.line for row in taken.rows] == [1, 10]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (2, form),
        (3, "md5: character 32 is not a hexadecimal digit"),
        *((line, form) for line in (4, 5, 6)),
        (7, "expected 40 hexadecimal digits, got 32"),
        *((line, form) for line in (8, 9)),
    ]


@pytest.mark.parametrize("program", ["md5sum", "sha1sum", "sha256sum"])
@pytest.mark.parametrize("option", ["--text", "--binary", "--tag"])
def test_what_the_programs_write_is_read_back(tmp_path: Path, program: str, option: str) -> None:
    names = [b"plain", b"two  spaces", b" before", b"back\\slash", b"line\nend", b"\xff", b"*star", b"a) = b"]
    for name in names:
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    listing = subprocess.run([program, option, "--", *names], cwd=tmp_path, check=True, capture_output=True).stdout
    taken = read(listing)
    assert not taken.rejects
    assert [row.name for row in taken.rows] == names
    one = subprocess.run([program, "--", names[3]], cwd=tmp_path, check=True, capture_output=True).stdout
    assert list(taken.rows[3].hashes.values()) == [one.decode().lstrip("\\").split()[0]]


RCLONE = [
    f"{MD5}  plain.jpg",
    f"{'UNSUPPORTED':>32}  a/b.jpg",
    f"{'ERROR':>40}  c.jpg",
    "UNSUPPORTED  d",
    f"{'':32}  e.jpg",
    f"{'':40}   # f ",
    f"{'':64}  {'x' * 32}  y",
    f"{OTHER_MD5}   g ",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_which_rclone_tells_no_hash_are_counted_and_are_no_errors(end: str) -> None:
    taken = read((end.join(RCLONE) + end).encode())
    assert taken.rows == [Row(1, {"md5": MD5}, name=b"plain.jpg"), Row(8, {"md5": OTHER_MD5}, name=b" g ")]
    assert not taken.rejects
    assert taken.not_checkable == 6


@pytest.mark.parametrize("line", RCLONE[1:7])
def test_a_listing_that_tells_no_hash_at_all_is_known_for_one(line: str) -> None:
    taken = read((line + "\n").encode() * 30)
    assert (taken.rows, taken.rejects, taken.not_checkable) == ([], [], 30)


def test_an_indented_line_with_a_hash_is_read_all_the_same() -> None:
    taken = read(f"{'':50}{MD5}  a\n".encode())
    assert (taken.rows, taken.not_checkable) == ([Row(1, {"md5": MD5}, name=b"a")], 0)


@pytest.mark.parametrize("digest", [MD5, SHA1, SHA256])
@pytest.mark.parametrize("encode", [base64.urlsafe_b64encode, base64.b64encode])
def test_base64_is_refused_with_advice(digest: str, encode: Callable[[bytes], bytes]) -> None:
    line = encode(bytes.fromhex(digest)) + b"  a.jpg\n"
    for listing in (line * 3, f"{'UNSUPPORTED':>24}  b\n".encode() + line):
        with pytest.raises(ReadError, match=r"input: its hashes are in base64; .* without rclone's --base64"):
            read(listing)


HASHES = st.sampled_from(
    [MD5, OTHER_MD5.upper(), SHA1, SHA256, PHASH, MD5[:-1], "UNSUPPORTED", "ERROR", "ERR", "U"]
).map(str.encode)
LINES = st.one_of(
    st.tuples(
        st.sampled_from([b"", b"", b"\\", b" ", b" " * 33, b" " * 34, b"\t" + b" " * 40]),
        HASHES,
        st.sampled_from([b"  ", b" *", b" ", b"\t", b""]),
        st.one_of(
            st.sampled_from([b"a", b"a b", b" a", b"a\\nb", b"\\\\", b"", b"\xff", b"*", b"\\"]),
            st.binary(max_size=12).map(lambda name: name.replace(b"\n", b"")),
        ),
    ).map(b"".join),
    st.sampled_from([b"", b" ", b"# x", b"\r", b"\\", b"hello", b"\0"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=10), st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.integers(1, 300))
def test_blocks_of_any_size_give_what_the_model_gives(
    lines: list[bytes], end: bytes, last: bool, block_bytes: int
) -> None:
    text = end.join(lines) + (end if last else b"")
    expected = model_sums(text)
    try:
        taken = read_blocks(read_sums, text, block_bytes)
    except ReadError:  # all its hashes have 16 digits
        assert not expected.rows
        return
    assert taken.rows == expected.rows
    assert taken.rejected == expected.rejected
    assert taken.not_checkable == expected.not_checkable
