"""Telling formats apart by what is in a file, and by its name when that does not settle it."""

from __future__ import annotations

from pathlib import PurePath

from hashserver.readers.columns import type_of
from hashserver.readers.csv_text import find_meaning, sniff_delimiter
from hashserver.readers.errors import ReadError
from hashserver.readers.formats import KNOWN_FORMATS
from hashserver.readers.source import Source
from hashserver.readers.sums import looks_like_sums

_SAMPLE = 1 << 16
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
    sample = source.peek(_SAMPLE)
    for known in KNOWN_FORMATS:
        if known.looks_like is not None and known.looks_like(sample):
            return known.name
    if _is_utf16(sample):
        raise _cannot_tell(source, "; it seems to be UTF-16: convert it to UTF-8 first")
    written = [line for line in sample.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    written = [line for line in written if not line.lstrip().startswith(b"#") or looks_like_sums(line)][:_LINES]
    lines = [line.strip() for line in written]
    if not lines:
        return "text"
    if lines[0].startswith(b"{"):
        return "jsonl"
    if any(looks_like_sums(line) for line in written):
        return "sums"
    first = lines[0]
    delimiter = bytes([sniff_delimiter(first)])
    if delimiter not in first and (type_of(first, hash_type) or hash_type) and not _is_header(first):
        return "text"
    try:
        find_meaning(sample, delimiter[0], hash_type, source.name)
    except ReadError:
        pass
    else:
        return "csv"
    if any(type_of(line, hash_type) for line in lines):
        return "text"
    suffixes = [suffix for suffix in PurePath(source.name.lower()).suffixes if suffix not in (".gz", ".zst")]
    if suffixes and suffixes[-1] in _BY_SUFFIX:
        return _BY_SUFFIX[suffixes[-1]]
    raise _cannot_tell(source)


def _cannot_tell(source: Source, more: str = "") -> ReadError:
    names = ", ".join(known.name for known in KNOWN_FORMATS)
    return ReadError(
        f"{source.name}: cannot tell what format this is; name it with --format ({names}), and the hash type "
        f"with --type where the file does not tell{more}"
    )


def _is_utf16(sample: bytes) -> bool:
    return sample.startswith((b"\xff\xfe", b"\xfe\xff")) or sample[:2] in (b"{\0", b"[\0", b"\0{", b"\0[")


def _is_header(line: bytes) -> bool:
    from hashserver.readers.columns import role_of

    return role_of(line.decode("utf-8", "replace")) is not None
