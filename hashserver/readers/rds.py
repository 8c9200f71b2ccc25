"""NSRL's Reference Data Set, version 3: an SQLite database of known software, most of it harmless.

The database is opened without a right to write, and only looked at through one plain SELECT. A file
is an input like any other here: values without end, recursive views and other inventions are
refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.cells import assemble, cells_of, decode_cells
from hashserver.readers.columns import role_of
from hashserver.readers.errors import ReadError
from hashserver.readers.head import Head
from hashserver.readers.source import Source

_ROLE = "known-good"
_COMPANIONS = {"pkg", "mfg", "os", "version"}
_NSRL_COLUMNS = {"crc32", "package_id"}
BLOCK_ROWS = 1 << 15
_MAGIC = b"SQLite format 3\0"
_TABLES = ("file", "metadata", "distinct_hash")
_TABLES_QUERY = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') LIMIT 1000"
_LONGEST_VALUE = 1 << 16
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_PRAGMA}
_Value = bytes | int | float | None


def looks_like(head: Head) -> bool:
    """Whether a file is an SQLite database."""
    return head.text.startswith(_MAGIC)


def default_role(source: Source) -> str | None:
    """known-good for what has the tables of NSRL's data set, and not for any database of files."""
    if source.path is None:
        return None
    with _refusing(source.name, 0), closing(_open(source.path)) as database:
        table = _find_table(database, source.name)
        names = {_text(name).lower() for name, _ in database.execute(_TABLES_QUERY)}
        columns = {
            _text(name).lower()
            for _, name, *_rest in database.execute(f"PRAGMA table_info({_quoted(table.name)})")
        }
    return _ROLE if len(_COMPANIONS & names) > 1 or columns >= _NSRL_COLUMNS else None


def read_rds(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_rows: int = BLOCK_ROWS,
) -> Iterator[Rows]:
    """Read a database; see `hashserver.readers.read_rows`. Lines are row numbers, from 1."""
    path = source.path
    if path is None:
        raise ReadError(
            f"{source.name}: an SQLite database cannot be read from a pipe or packed; unpack it and name the file"
        )
    with _refusing(source.name, 0), closing(_open(path)) as database:
        table = _find_table(database, source.name)
        names = ", ".join(_quoted(name) for name in table.hashes.values())
        # By the table itself and not by an index that holds the same columns: one pass over the
        # file.
        place = _quoted(table.name) + ("" if table.is_view else " NOT INDEXED")
        cursor = database.execute(f"SELECT {names} FROM {place}")  # noqa: S608 - names are quoted
        line = 1
        while True:
            with _refusing(source.name, line):
                values = cursor.fetchmany(block_rows)
            if not values:
                return
            source.bytes_read = min(source.total_bytes or 0, source.bytes_read + table.bytes_a_row * len(values))
            rows = _assemble(list(table.hashes), values, line, on_reject)
            line += len(values)
            if rows is not None:
                yield rows


@dataclass(frozen=True, slots=True)
class _Table:
    """A table or view, its hash columns by type, and what a row takes of the file, roughly."""

    name: str
    hashes: dict[str, str]
    bytes_a_row: int
    is_view: bool


def _open(path: str) -> sqlite3.Connection:
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
        raise ReadError(
            f"{path}: uncommitted changes are in {path}-wal; close the program that has the database open"
        )
    uri = f"{Path(path).resolve().as_uri()}?mode=ro&immutable=1"
    # Read and closed in different threads when a load is cut short.
    database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    database.text_factory = bytes
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    database.execute("PRAGMA mmap_size = 0")
    database.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
    return database


@contextmanager
def _refusing(source_name: str, line: int) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError, OverflowError) as error:
        where = f"after row {line - 1:,}" if line else "at its beginning"
        reason = str(error)[:200]
        raise ReadError(f"{source_name} is not a valid SQLite database, {where}: {reason}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _find_table(database: sqlite3.Connection, source_name: str) -> _Table:
    """The table to read: the files themselves, or else a view of them.

    Raises:
        ReadError: there is none, or it has no column of hashes.
    """
    found = {}
    names = []
    for raw, kind in database.execute(_TABLES_QUERY):
        name = _text(raw)
        names.append(name)
        if name.lower() in _TABLES:
            found[kind == b"view", _TABLES.index(name.lower())] = name
    if not found:
        raise ReadError(
            f"{source_name} is an SQLite database, and has none of the tables of NSRL's data set (FILE, METADATA "
            f"or DISTINCT_HASH) but {', '.join(names)[:200] or 'none at all'}; export the table that holds the "
            "hashes as CSV and load that"
        )
    (is_view, _), name = min(found.items())
    hashes: dict[str, str] = {}
    for _, raw, *_rest in database.execute(f"PRAGMA table_info({_quoted(name)})"):
        role = role_of(_text(raw))
        if role in HASH_TYPES:
            hashes.setdefault(role, _text(raw))
    if not hashes:
        raise ReadError(f"{source_name}: table {name} has no column named by a hash type")
    return _Table(name, hashes, 0 if is_view else _bytes_a_row(database, name), is_view)


def _bytes_a_row(database: sqlite3.Connection, name: str) -> int:
    """For the progress bar only; 0 when it would take a scan to know."""
    try:
        (rows,) = database.execute(f"SELECT max(rowid) FROM {_quoted(name)}").fetchone()  # noqa: S608
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    except sqlite3.Error:
        return 0  # a table without row numbers
    return int(pages * size / rows) if isinstance(rows, int) and rows > 0 else 0


def _text(value: _Value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _assemble(
    types: list[str], values: list[tuple[_Value, ...]], first_line: int, on_reject: Callable[[Reject], None]
) -> Rows | None:
    broken: dict[int, str] = {}
    hashes = []
    for name, column in zip(types, zip(*values, strict=True), strict=True):
        if set(map(type, column)) == {bytes}:
            hashes.append(decode_cells(look_up(name), cells_of(column)))
            continue
        cells = []
        for row, value in enumerate(column):
            cells.append(value if isinstance(value, bytes) else b"")
            if not isinstance(value, bytes | None):
                broken.setdefault(row, f"{name}: expected text, got a number")
        hashes.append(decode_cells(look_up(name), cells_of(cells)))
    return assemble(
        np.arange(first_line, first_line + len(values), dtype=np.int64),
        hashes,
        broken=broken,
        raw=lambda row: b",".join(_text(value).encode() for value in values[row] if value is not None),
        on_reject=on_reject,
    )
