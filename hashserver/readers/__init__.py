"""Readers of hash sets and listings: a file in, blocks of rows out, in bounded memory.

Each format is a module with one function, and has one line in `hashserver.readers.formats`. Every
row of a file ends either in a block or in a reject with its line and reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows, Withdrawals
from hashserver.readers.detect import detect_format
from hashserver.readers.errors import ReadError
from hashserver.readers.foreign import refuse_foreign
from hashserver.readers.formats import KNOWN_FORMATS
from hashserver.readers.source import Source, open_source

__all__ = ["FORMATS", "ReadError", "Source", "choose_format", "default_role", "open_source", "read_rows"]

FORMATS: dict[str, Callable[..., Iterator[Rows | Withdrawals]]] = {
    known.name: known.read for known in KNOWN_FORMATS
}

_WITH_COLUMNS = ("csv", "parquet", "jsonl")
_DEFAULT_ROLES = {known.name: known.default_role for known in KNOWN_FORMATS if known.default_role is not None}


def default_role(source: Source, format: str) -> str | None:
    """The role of a new set from a source of known software; None for every other source."""
    of_source = _DEFAULT_ROLES.get(format)
    return None if of_source is None else of_source(source)


def choose_format(source: Source, format: str | None, hash_type: str | None) -> str:
    """The format that a source is read in; see `read_rows`.

    Raises:
        ReadError: it is of a kind that is not read here, or looks like none.
    """
    refuse_foreign(source)
    chosen = format or detect_format(source, hash_type)
    if chosen not in FORMATS:
        raise ReadError(f"unknown format {chosen!r}; known formats: {', '.join(FORMATS)}")
    if source.columns and chosen not in _WITH_COLUMNS:
        raise ReadError(f"{source.name} is read as {chosen}, which has no columns to name with --column")
    return chosen


def read_rows(
    source: Source,
    *,
    format: str | None = None,
    hash_type: str | None = None,
    on_reject: Callable[[Reject], None],
) -> Iterator[Rows | Withdrawals]:
    """Read a source in blocks.

    Args:
        source: see `open_source`.
        format: one of FORMATS; detected when None.
        hash_type: the type of the hashes, where the file does not say.
        on_reject: called with every row that is not taken.

    Raises:
        ReadError: the source cannot be read, or is not what it was said to be.
        UnknownHashType: `hash_type` is not in the registry.
    """
    if hash_type is not None:
        look_up(hash_type)
    chosen = choose_format(source, format, hash_type)
    yield from FORMATS[chosen](source, hash_type=hash_type, on_reject=on_reject)
