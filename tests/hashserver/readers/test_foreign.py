"""Tests of `hashserver.readers.foreign`: files of other kinds are called by their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
from reader_model import MD5, OTHER_MD5, read

from hashserver.readers import FORMATS, ReadError

LISTING = f"{MD5}  a\n{OTHER_MD5}  b\n".encode() * 50


def tar(format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name in ("one.md5", "two.md5"):
            member = tarfile.TarInfo(name)
            member.size = len(LISTING)
            archive.addfile(member, io.BytesIO(LISTING))
    return out.getvalue()


def old_tar() -> bytes:
    """As before POSIX: without a magic word."""
    header = bytearray(tar(tarfile.USTAR_FORMAT)[:512])
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + LISTING


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, LISTING)
    return out.getvalue()


KINDS = {
    "a tar archive; unpack it": tar(tarfile.GNU_FORMAT),
    "a tar archive; unpack it and": tar(tarfile.PAX_FORMAT),
    "a tar archive": old_tar(),
    "a tar": gzip.compress(tar(tarfile.USTAR_FORMAT)),
    "a zip archive": zipped("list.md5"),
    r"an Excel workbook \(.xlsx\); export the table as CSV": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a Word document": zipped("[Content_Types].xml", "word/document.xml"),
    "an xz archive; unpack it": lzma.compress(LISTING),
    "a bzip2 archive; unpack it": bz2.compress(LISTING),
    "a bzip2": bz2.compress(b""),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(50),
    "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "an old Excel or Office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "an HTML page": b"\n<!-- x -->\n<!DOCTYPE HTML><title>502</title>",
    "a JPEG picture": b"\xff\xd8\xff\xe0" + bytes(20),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", [None, "text", "sums", "csv"])
def test_a_file_of_another_kind_is_refused_by_its_name(kind: str, format: str | None) -> None:
    assert format is None or format in FORMATS
    with pytest.raises(ReadError, match=f"input is {kind}"):
        read(KINDS[kind], format=format)


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (f"{'ab' * 64}  a\n", "128 digits (SHA-512 or BLAKE2b)"),
        (f"{'ab' * 8}  a\n", "16 digits (XXH64 or CRC-64; if these are pHashes, add --type phash)"),
        (f"\\{'ab' * 8}  a\\nb\n", "16 digits"),
        (f"{'ab' * 48}  a\n", "SHA-384"),
        (f"{'ab' * 4}  a\n", "CRC-32"),
        (f"SHA512 (a) = {'ab' * 64}\n", "its hashes are SHA512"),
        (f"XXH64 (a) = {'ab' * 8}\n", "its hashes are XXH64"),
        (f"BLAKE2b (a) = {'ab' * 64}\n", "its hashes are BLAKE2B"),
        ("SHA384 (a) = q7v/Ag==\n", "its hashes are SHA384"),
    ],
)
def test_a_listing_of_other_hashes_is_refused_and_not_taken_for_ours(listing: str, words: str) -> None:
    with pytest.raises(ReadError) as refused:
        read(listing.encode())
    assert words in str(refused.value)


def test_lines_of_other_hashes_among_ours_are_rejected() -> None:
    taken = read(
        f"{MD5}  a\n{'ab' * 8}  b\n{'ab' * 64}  c\nSHA512 (d) = {'ab' * 64}\nSHA256 (e) = q7v=\n".encode()
    )
    assert [row.line for row in taken.rows] == [1]
    assert [reject.line for reject in taken.rejects] == [2, 3, 4, 5]
    assert "--type phash" in taken.rejects[0].reason
    assert "is it base64?" in taken.rejects[3].reason


def test_16_digits_are_a_phash_where_the_user_says_so_or_a_header_does() -> None:
    digits = "f8f8f0cce0f4e84d"
    assert read(f"{digits}  a\n".encode(), hash_type="phash").rows[0].hashes == {"phash": digits}
    assert read(f"phash,name\n{digits},a\n".encode()).rows[0].hashes == {"phash": digits}
    assert read(f"{digits}\n".encode()).rows[0].hashes == {"phash": digits}
    with pytest.raises(ReadError, match="cannot tell"):
        read(f"{digits},a.jpg\n".encode())


@pytest.mark.parametrize(
    "listing",
    ['{"RequestCharged": null, "Prefix": ""}', '{"Contents": []}', "null\n", "[]", "[\n]\n", '{"list":[]}'],
)
def test_a_listing_of_an_empty_bucket_lists_nothing_and_is_no_error(listing: str) -> None:
    taken = read(listing.encode())
    assert not taken.rows
    assert not taken.rejects


def test_what_is_no_listing_is_not_taken_for_an_empty_one() -> None:
    for document in ('{"error": "quota"}', '{"message": "Forbidden", "Contents": null}', "{}"):
        assert read(document.encode()).rejects
