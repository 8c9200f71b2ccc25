"""Telling formats apart by what is in a file, and by its name when that does not settle it."""

from __future__ import annotations

from itertools import islice
from pathlib import PurePath

import orjson

from hashserver.readers.columns import role_of, type_of
from hashserver.readers.csv_text import find_meaning
from hashserver.readers.empty_listing import format_of_empty_listing
from hashserver.readers.errors import ReadError
from hashserver.readers.formats import KNOWN_FORMATS
from hashserver.readers.head import HEAD_BYTES, delimiter_of
from hashserver.readers.source import Source
from hashserver.readers.sums import looks_like_sums

_LINES = 20
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md5": "sums",
    ".sha1": "sums",
    ".sha256": "sums",
    ".parquet": "parquet",
    ".xml": "ncmec",
}


def detect_format(source: Source, hash_type: str | None) -> str:
    """The format of a source.

    Raises:
        ReadError: it looks like none.
    """
    head = source.head
    for known in KNOWN_FORMATS:
        if known.looks_like is not None and known.looks_like(head):
            return known.name
    if (empty := format_of_empty_listing(head)) is not None:
        return empty
    if head.is_utf16:
        raise _cannot_tell(source, "; it seems to be UTF-16: convert it to UTF-8 first")
    plain = (line for line in head.lines if not line.lstrip().startswith(b"#") or looks_like_sums(line))
    written = list(islice(plain, _LINES))
    lines = [line.strip() for line in written]
    if not lines:
        return "text"
    if lines[0].startswith(b"{"):
        _refuse_other_json(source, lines)
        return "jsonl"
    if any(looks_like_sums(line) for line in written):
        return "sums"
    first = lines[0]
    one_column = delimiter_of(first) not in first
    if (
        one_column
        and (type_of(first, hash_type) or hash_type)
        and role_of(first.decode("utf-8", "replace")) is None
    ):
        return "text"
    if find_meaning(head, hash_type, source.columns) is not None:
        return "csv"
    if any(type_of(line, hash_type) for line in lines):
        return "text"
    suffixes = [suffix for suffix in PurePath(source.name.lower()).suffixes if suffix not in (".gz", ".zst")]
    if suffixes and suffixes[-1] in _BY_SUFFIX:
        return _BY_SUFFIX[suffixes[-1]]
    raise _cannot_tell(source)


def _refuse_other_json(source: Source, lines: list[bytes]) -> None:
    """Refuse JSON that is not one object a line, such as a document of an unknown structure.

    Raises:
        ReadError: no line in sight is an object by itself.
    """
    text = source.head.text
    if len(text) >= HEAD_BYTES and b"\n" not in text:
        return  # an object that is longer than what is in sight
    if not any(map(_is_object, lines)):
        raise ReadError(
            f"{source.name} is a JSON document of a structure that is not known here, or is cut short; what can "
            "be read is in docs/formats.md, for instance one object a line"
        )


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _cannot_tell(source: Source, more: str = "") -> ReadError:
    names = ", ".join(known.name for known in KNOWN_FORMATS)
    return ReadError(
        f"{source.name}: cannot tell what format this is; name it with --format ({names}), and the hash type "
        f"with --type where the file does not tell{more}"
    )
