"""What a scan remembers, in SQLite: the hashes of each file and the generation that was asked."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from hashserver.errors import BadInput
from hashserver.provider.hashing.digests import TYPES
from hashserver.provider.scanning.pool import Hashed
from hashserver.provider.scanning.walk import FoundFile

_FORMAT = 2
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    {", ".join(f"{name} BLOB" for name in TYPES)},
    types TEXT NOT NULL,         -- the hashes that were computed
    server TEXT, generation INTEGER,  -- who has been asked about it, and which generation answered
    hits BLOB,                   -- JSON of what matched
    scan INTEGER NOT NULL        -- the last scan that saw it
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scans (number INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_hits ON files (path) WHERE hits IS NOT NULL;
DROP INDEX IF EXISTS by_scan;    -- of format 1, it cost more than all the rest
"""
_COLUMNS = ("path", "size", "mtime_ns", "inode", *TYPES, "types", "scan", "server", "generation", "hits")
_PUT = f"INSERT OR REPLACE INTO files ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_DIGESTS = slice(4, 4 + len(TYPES))  # of a row
_UNASKED = (None, None, None)  # server, generation and hits
_WRITE_SECONDS = 3.0
_MOST_UNASKED = 100_000  # that are kept in memory as well, so that asking need not look for them

_Row = tuple[Any, ...]


class StateError(BadInput):
    """The state file cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class FileMatch:
    """One entry that a file matched; the state file holds its fields as members of JSON."""

    type: str
    hash: str
    distance: int
    set: str
    category: str | None
    id: str | None


class State:
    """The state file of a storage, used by one scan at a time.

    Args:
        path: made if absent, mode 0600.

    Raises:
        StateError: it is no state file, or another scan is using it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=1, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 16384")  # pages; each one waits for the disk
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > _FORMAT:
                raise StateError(
                    f"{path} has format {version}, but this version reads up to {_FORMAT}; "
                    "name another file with --state"
                )
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")
            self.scan = self._next_scan(version)
            self._is_new = self._db.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StateError(
                    f"another scan is using {path}; wait for it, or name another file with --state"
                ) from None
            raise StateError(f"cannot use {path} to remember the scan: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{path} is not the state of a scan: {error}; name another file with --state"
            ) from error
        self._unasked: dict[bytes, _Row] = {}
        self._unwritten: dict[bytes, _Row] = {}
        self._written_at = time.monotonic()
        self._swept: tuple[str, int, bytes] = ("", 0, b"")

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._db.close()

    def _next_scan(self, version: int) -> int:
        if version < _FORMAT:
            self._db.execute("INSERT INTO scans SELECT coalesce(max(scan), 0) FROM files")
        self._db.execute("UPDATE scans SET number = number + 1")
        return int(self._db.execute("SELECT number FROM scans").fetchone()[0])

    def split(self, files: Sequence[FoundFile], names: frozenset[str]) -> list[FoundFile]:
        """Files to read: new, changed, or without a wanted hash. Marks the others as seen."""
        if self._is_new:
            return list(files)
        unread: list[FoundFile] = []
        seen: list[_Row] = []
        for file in files:
            row = self._db.execute(
                "SELECT size, mtime_ns, inode, types FROM files WHERE path = ?", (file.path,)
            ).fetchone()
            if row and row[:3] == (file.size, file.mtime_ns, file.inode) and names <= set(row[3].split()):
                seen.append((self.scan, file.path))
            else:
                unread.append(file)
        self._write([("UPDATE files SET scan = ? WHERE path = ?", seen)])
        return unread

    def remember(self, hashed: Iterable[Hashed], names: frozenset[str]) -> None:
        """Keep the hashes of files; written within seconds, for what is lost is hashed again."""
        listed = " ".join(sorted(names))
        for file, outcome in hashed:
            if outcome.digests is not None:
                row = (*file, *outcome.digests, listed, self.scan, *_UNASKED)
                self._unasked[file.path] = self._unwritten[file.path] = row
        if time.monotonic() - self._written_at > _WRITE_SECONDS or len(self._unasked) > _MOST_UNASKED:
            self.flush()

    def flush(self) -> None:
        """Write what was kept; it survives the end of this process, perhaps not a power cut."""
        self._write([(_PUT, sorted(self._unwritten.values()))])
        self._unwritten.clear()
        self._written_at = time.monotonic()
        if len(self._unasked) > _MOST_UNASKED:
            self._unasked.clear()

    def unasked(self, server: str, generation: int, count: int) -> list[tuple[bytes, tuple[bytes | None, ...]]]:
        """Files of this scan that no answer of this generation, or of a later one, covers.

        Returns:
            Paths, and digests in the order of `TYPES`.
        """
        rows = list(islice(self._unasked.values(), count)) or self._sweep(server, generation, count)
        return [(row[0], row[_DIGESTS]) for row in rows]

    def _sweep(self, server: str, generation: int, count: int) -> list[_Row]:
        """Go on through the table from where the last sweep for this generation ended."""
        self.flush()
        after = self._swept[2] if self._swept[:2] == (server, generation) else b""
        rows = self._waiting_between(after, None, server, generation, count)
        if len(rows) < count and after:
            rows += self._waiting_between(b"", after, server, generation, count - len(rows))
        self._swept = (server, generation, rows[-1][0] if rows else after)
        return rows

    def _waiting_between(
        self, after: bytes, last: bytes | None, server: str, generation: int, count: int
    ) -> list[_Row]:
        return self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM files WHERE path > ? AND (? IS NULL OR path <= ?) AND scan = ? "  # noqa: S608 - names of our own
            "AND (generation IS NULL OR generation < ? OR server IS NOT ?) ORDER BY path LIMIT ?",
            (after, last, last, self.scan, generation, server, count),
        ).fetchall()

    def answered(
        self, server: str, generation: int, paths: Sequence[bytes], matches: dict[bytes, list[FileMatch]]
    ) -> None:
        """Keep the answer for some files, on disk before this returns.

        Args:
            server, generation: that answered.
            paths: of the files that were asked about.
            matches: by path, for those that matched.
        """
        new: list[_Row] = []
        changed: list[_Row] = []
        for path in paths:
            found = matches.get(path)
            answer = (server, generation, orjson.dumps([asdict(match) for match in found]) if found else None)
            self._unasked.pop(path, None)
            row = self._unwritten.pop(path, None)
            if row is None:
                changed.append((*answer, path))
            else:
                new.append(row[: -len(answer)] + answer)
        new.sort()
        self._write(
            [(_PUT, new), ("UPDATE files SET server = ?, generation = ?, hits = ? WHERE path = ?", changed)]
        )

    def matches_of(self, path: bytes) -> list[FileMatch]:
        """What one file matched, as far as is known."""
        if path in self._unwritten:
            return []  # it is new, or has changed
        row = self._db.execute("SELECT hits FROM files WHERE path = ?", (path,)).fetchone()
        return _matches_in(row[0]) if row and row[0] else []

    def hits(self) -> Iterator[tuple[FoundFile, list[FileMatch]]]:
        """All files of this scan that matched, by path."""
        self.flush()
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, inode, hits FROM files "
            "WHERE scan = ? AND hits IS NOT NULL ORDER BY path",
            (self.scan,),
        )
        for path, size, mtime_ns, inode, hits in rows:
            yield FoundFile(path, size, mtime_ns, inode), _matches_in(hits)

    def forget_unseen(self) -> int:
        """Drop the files that this scan, having seen everything, has not seen; returns how many."""
        self.flush()
        return self._db.execute("DELETE FROM files WHERE scan <> ?", (self.scan,)).rowcount

    def _write(self, statements: list[tuple[str, list[_Row]]]) -> None:
        if not any(rows for _, rows in statements):
            return
        self._db.execute("BEGIN")
        for statement, rows in statements:
            self._db.executemany(statement, rows)
        self._db.execute("COMMIT")


def _matches_in(column: bytes) -> list[FileMatch]:
    """The matches in the column `hits`: JSON objects with the members of a `FileMatch`."""
    return [FileMatch(**match) for match in orjson.loads(column)]
