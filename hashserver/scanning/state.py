"""What a scan remembers, in SQLite: the hashes of every file, and for which generation it has been asked about."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import orjson

from hashserver.hashing import TYPES, FileHashes
from hashserver.scanning.walk import FoundFile

_FORMAT = 1
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
CREATE INDEX IF NOT EXISTS by_scan ON files (scan, generation);
"""


class StateError(Exception):
    """The state file cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry that one file matched."""

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
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise StateError(f"{path} has format {version}, this program reads {_FORMAT}; name another file")
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")
            self.scan = 1 + (self._db.execute("SELECT max(scan) FROM files").fetchone()[0] or 0)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StateError(
                    f"another scan is using {path}; wait for it, or name another with --state"
                ) from None
            raise StateError(f"cannot use {path} to remember the scan: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StateError(f"{path} is not the state of a scan: {error}; name another with --state") from error

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def split(self, files: Sequence[FoundFile], types: frozenset[str]) -> list[FoundFile]:
        """Which files have to be read: new, changed, or lacking a wanted hash. Marks the others as seen."""
        unread: list[FoundFile] = []
        seen: list[tuple[object, ...]] = []
        for file in files:
            row = self._db.execute(
                "SELECT size, mtime_ns, inode, types FROM files WHERE path = ?", (file.path,)
            ).fetchone()
            if row and row[:3] == (file.size, file.mtime_ns, file.inode) and types <= set(row[3].split()):
                seen.append((self.scan, file.path))
            else:
                unread.append(file)
        self._write("UPDATE files SET scan = ? WHERE path = ?", seen)
        return unread

    def remember(self, hashed: Iterable[tuple[FoundFile, FileHashes]], types: frozenset[str]) -> None:
        """Keep the hashes of files; durable when it returns, but for a power cut."""
        rows: list[tuple[object, ...]] = []
        for file, hashes in hashed:
            digests = [bytes.fromhex(text) if (text := getattr(hashes, name)) else None for name in TYPES]
            if hashes.note is not None:
                digests[3:] = [None] * (len(TYPES) - 3)  # of too little quality to be asked about
            fixed = (file.path, file.size, file.mtime_ns, file.inode)
            rows.append((*fixed, *digests, " ".join(sorted(types)), self.scan))
        columns = ("path", "size", "mtime_ns", "inode", *TYPES, "types", "scan")
        marks = ", ".join("?" * len(columns))
        self._write(f"INSERT OR REPLACE INTO files ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608

    def unasked(self, server: str, generation: int, count: int) -> list[tuple[bytes, dict[str, bytes]]]:
        """Files of this scan that the server has not been asked about in this generation or a later one."""
        rows = self._db.execute(
            f"SELECT path, {', '.join(TYPES)} FROM files WHERE scan = ? "  # noqa: S608 - names of our own
            "AND (generation IS NULL OR generation < ? OR server IS NOT ?) LIMIT ?",
            (self.scan, generation, server, count),
        ).fetchall()
        return [
            (row[0], {name: value for name, value in zip(TYPES, row[1:], strict=True) if value is not None})
            for row in rows
        ]

    def answered(self, server: str, answers: Iterable[tuple[bytes, int, list[Hit]]]) -> None:
        """Keep what the server said of some files, and which generation said so."""
        self._write(
            "UPDATE files SET server = ?, generation = ?, hits = ? WHERE path = ?",
            [
                (server, generation, orjson.dumps([asdict(hit) for hit in hits]) if hits else None, path)
                for path, generation, hits in answers
            ],
        )

    def hits_of(self, path: bytes) -> list[Hit]:
        """What one file matched, as far as is known."""
        row = self._db.execute("SELECT hits FROM files WHERE path = ?", (path,)).fetchone()
        return [Hit(**hit) for hit in orjson.loads(row[0])] if row and row[0] else []

    def hits(self) -> Iterator[tuple[FoundFile, list[Hit]]]:
        """All files of this scan that matched, by path."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, inode, hits FROM files "
            "WHERE scan = ? AND hits IS NOT NULL ORDER BY path",
            (self.scan,),
        )
        for path, size, mtime_ns, inode, hits in rows:
            yield FoundFile(path, size, mtime_ns, inode), [Hit(**hit) for hit in orjson.loads(hits)]

    def forget_unseen(self) -> int:
        """Drop the files that this scan, having seen everything, has not seen; returns how many."""
        return self._db.execute("DELETE FROM files WHERE scan <> ?", (self.scan,)).rowcount

    def _write(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        if not rows:
            return
        self._db.execute("BEGIN")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")
