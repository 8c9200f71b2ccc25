"""NSRL's Reference Data Set as text, NSRLFile.txt: CSV of known software, most of it harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hashcore.rows import Reject, Rows
from hashserver.readers.csv_text import read_csv
from hashserver.readers.head import Head
from hashserver.readers.source import Source

DEFAULT_ROLE = "known-good"
_HEADER = b'"SHA-1","MD5","CRC32","FileName"'


def looks_like(head: Head) -> bool:
    """Whether a file begins with the header of NSRLFile.txt."""
    return head.text.startswith(_HEADER)


def read_nsrl(source: Source, *, hash_type: str | None, on_reject: Callable[[Reject], None]) -> Iterator[Rows]:
    """Read NSRLFile.txt; see `hashserver.readers.read_rows`."""
    return read_csv(source, hash_type=hash_type, on_reject=on_reject)
