"""Telling formats apart by what is in a file, and by its name when that does not settle it."""

from __future__ import annotations

from pathlib import PurePath

from hashserver.readers import exchange, hashdeep, ncmec, nsrl, rds, s3_inventory
from hashserver.readers.columns import type_of
from hashserver.readers.csv_text import find_meaning, sniff_delimiter
from hashserver.readers.errors import ReadError
from hashserver.readers.source import Source
from hashserver.readers.sums import looks_like_sums

_SAMPLE = 1 << 16
_LINES = 20
_BY_BEGINNING = {
    "rds": rds,
    "ncmec": ncmec,
    "hashdeep": hashdeep,
    "nsrl": nsrl,
    "s3-inventory": s3_inventory,
    "exchange": exchange,
}
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
    if sample.startswith(b"PAR1"):
        return "parquet"
    for name, module in _BY_BEGINNING.items():
        if module.looks_like(sample):
            return name
    lines = [line.strip() for line in sample.removeprefix(b"\xef\xbb\xbf").splitlines()]
    lines = [line for line in lines if line and not line.startswith(b"#")][:_LINES]
    if not lines:
        return "text"
    if lines[0].startswith(b"{"):
        return "jsonl"
    if any(looks_like_sums(line) for line in lines):
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
    raise ReadError(
        f"{source.name}: cannot tell what format this is; name it with --format (csv, text, sums, jsonl, "
        "parquet, ncmec, hashdeep, nsrl, rds, s3-inventory, exchange), "
        "and the hash type with --type where the file does not tell"
    )


def _is_header(line: bytes) -> bool:
    from hashserver.readers.columns import role_of

    return role_of(line.decode("utf-8", "replace")) is not None
