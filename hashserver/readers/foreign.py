"""Files of other kinds: called by their names, with what to do about them."""

from __future__ import annotations

import re

from hashserver.readers.errors import ReadError
from hashserver.readers.source import Source

_UNPACK = "unpack it and load the list in it"
_EXPORT = "export the table as CSV (UTF-8) and load that"
_NOT_A_LIST = "this is not a list of hashes; to hash files, use hashserver hash"

_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xfd7zXZ\0", "an xz archive", "unpack it, for instance with xz -dc FILE | hashserver load -"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 archive", _UNPACK),
    (b"LZIP", "an lzip archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office document", _EXPORT),
    (b"%PDF-", "a PDF", "ask its source for the list as CSV"),
    (b"{\\rtf", "an RTF document", "save the list as plain text or CSV"),
    (b"ARROW1\0\0", "an Arrow (Feather) file", "write it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or CSV"),
    (b"ORC", "an ORC file", "write it as Parquet or CSV"),
    (b"\xff\xd8\xff", "a JPEG picture", _NOT_A_LIST),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", _NOT_A_LIST),
    (b"GIF8", "a GIF picture", _NOT_A_LIST),
    (b"\x7fELF", "a program", _NOT_A_LIST),
)
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DOCUMENTS = (
    (re.compile(rb"xl/(?:workbook|worksheets|_rels|styles|theme|sharedStrings)"), "an Excel workbook (.xlsx)"),
    (re.compile(rb"opendocument\.spreadsheet"), "an OpenDocument spreadsheet (.ods)"),
    (re.compile(rb"word/(?:document|_rels|styles)"), "a Word document (.docx)"),
    (re.compile(rb"\[Content_Types\]\.xml"), "an Office document (.xlsx or .docx)"),
)
_HTML = re.compile(
    rb"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s++html|html|head|body|title|h1|center)\b", re.IGNORECASE | re.DOTALL
)
_TAR_BLOCK = 512
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


def refuse_foreign(source: Source) -> None:
    """Refuse a file of a kind that is not read here, whatever it is said to be.

    Raises:
        ReadError: it is one; the message says which kind, and what to do.
    """
    found = _kind(source.head.text)
    if found is not None:
        raise ReadError(f"{source.name} is {found[0]}; {found[1]}")


def _kind(text: bytes) -> tuple[str, str] | None:
    for beginning, kind, advice in _BEGINNINGS:
        if text.startswith(beginning):
            return kind, advice
    if _BZIP2.match(text):
        return "a bzip2 archive", "unpack it, for instance with bzip2 -dc FILE | hashserver load -"
    if text.startswith(_ZIP):
        document = next((kind for pattern, kind in _DOCUMENTS if pattern.search(text)), None)
        return ("a zip archive", _UNPACK) if document is None else (document, _EXPORT)
    if text.startswith(_UTF32):
        return "UTF-32 text", "save it as UTF-8, for instance with iconv -f UTF-32 -t UTF-8"
    if _is_tar(text):
        return (
            "a tar archive",
            "unpack it and load each of the lists in it, the first one and then the others with --append",
        )
    if _HTML.match(text):
        return (
            "an HTML page",
            "perhaps an error page of the site it came from; look at it, and download the list again",
        )
    return None


def _is_tar(text: bytes) -> bool:
    """Whether it begins with the header of a file in a tar archive, by its checksum."""
    header = text[:_TAR_BLOCK]
    if len(header) < _TAR_BLOCK or not header[0]:
        return False
    written = header[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,7}", written):
        return False
    return int(written, 8) == sum(header) - sum(header[148:156]) + 8 * 0x20
