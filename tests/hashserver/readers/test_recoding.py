"""Tests of `hashserver.readers.recoding`: text in other clothes is read whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from reader_model import MD5, OTHER_MD5, SHA1, read

from hashserver.readers import ReadError


@pytest.mark.parametrize("program", ["md5sum", "sha1sum", "sha256sum"])
@pytest.mark.parametrize("option", ["--text", "--binary", "--tag"])
def test_listings_that_end_in_nul_are_read_whole(tmp_path: Path, program: str, option: str) -> None:
    names = [b"plain", b"two  spaces", b"back\\slash", b"line\nend", b"\xff", b"last"]
    for name in names:
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    command = [program, option, "-z", "--", *names]
    taken = read(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert not taken.rejects
    assert [row.name for row in taken.rows] == names


@pytest.mark.parametrize(
    "lines",
    [
        (MD5, OTHER_MD5, MD5),
        (f"{MD5}  a", f"{OTHER_MD5}  b", f"{MD5}  c"),
        ("md5,id", f"{MD5},1", f"{OTHER_MD5},2", f"{MD5},3"),
        (f'{{"md5": "{MD5}"}}', f'{{"md5": "{OTHER_MD5}"}}', f'{{"md5": "{MD5}"}}'),
    ],
)
@pytest.mark.parametrize("last", ["", "\r"])
def test_lines_that_end_in_cr_alone_are_lines(lines: tuple[str, ...], last: str) -> None:
    taken = read(("\r".join(lines) + last).encode())
    assert not taken.rejects
    assert [row.hashes["md5"] for row in taken.rows] == [MD5, OTHER_MD5, MD5]


def test_a_line_that_ends_in_cr_among_others_is_rejected_and_not_taken_for_a_name() -> None:
    taken = read(f"{MD5}  a\n{OTHER_MD5}  b\r{MD5}  c\n{MD5}  d\re\n".encode())
    assert [row.name for row in taken.rows] == [b"a", b"d\re"]
    assert [(reject.line, reject.reason[:30]) for reject in taken.rejects] == [
        (2, "a line that ends in CR alone, ")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_excels_csv_is_read_with_its_separator_line(encoding: str) -> None:
    text = f"sep=;\r\nMD5 Hash;Categorie\r\n{MD5};misbruik é\r\n{OTHER_MD5}\r\n"
    taken = read(text.encode(encoding))
    assert not taken.rejects
    assert [(row.line, row.hashes["md5"], row.category) for row in taken.rows] == [
        (3, MD5, "misbruik é"),
        (4, OTHER_MD5, None),
    ]


def test_utf16_that_breaks_off_is_refused() -> None:
    with pytest.raises(ReadError, match="this seems to be UTF-16-LE, but part of it is not"):
        read(f"md5,id\n{MD5},1\n".encode("utf-16") + b"x")


def test_rows_of_interpols_csv_have_one_cell_more_than_the_header() -> None:
    taken = read(f"MD5,SHA1,Category\n{MD5},{SHA1},1,\n{OTHER_MD5},{SHA1},2,x\n{MD5},{SHA1}\n".encode())
    assert not taken.rejects
    assert [(row.hashes["md5"], row.category) for row in taken.rows] == [(MD5, "1"), (OTHER_MD5, "2"), (MD5, None)]


def test_a_row_with_a_comma_too_many_among_others_is_rejected() -> None:
    taken = read(f"md5,category,id\n{MD5},a,1\n{MD5},a,b,2\n{OTHER_MD5},a,3,,\n{MD5},c,4\n".encode())
    assert [row.line for row in taken.rows] == [2, 4, 5]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [(3, "expected 3 columns, got 4")]


def test_a_row_cut_short_by_the_end_of_the_file_is_rejected() -> None:
    taken = read(f"md5,category,id\n{MD5},a,1\n{OTHER_MD5},a".encode())
    assert [row.line for row in taken.rows] == [2]
    assert "the file ends here" in taken.rejects[0].reason
