"""What a scan remembers, in SQLite: the hashes of each file, and what its answers came from."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from hashserver.errors import BadInput
from hashserver.provider.hashing.digests import TYPES
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.objects import is_object
from hashserver.provider.scanning.pool import Hashed
from hashserver.provider.scanning.walk import FoundFile, Unseen

_FORMAT = 3
_FILES = f"""
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    ctime_ns INTEGER,            -- NULL where format 2 did not keep it
    {", ".join(f"{name} BLOB" for name in TYPES)},
    types TEXT NOT NULL,         -- the hashes that were computed
    kind TEXT, why TEXT,         -- of a picture that could not be looked at
    vague INTEGER NOT NULL,      -- the picture has no hash that says enough
    scan INTEGER NOT NULL,       -- the last scan that saw it
    told BLOB,                   -- JSON of the matches that the hook has taken
    state TEXT,                  -- what all of its answers came from, NULL to ask
    hits BLOB                    -- JSON of what matched
) WITHOUT ROWID
"""
_SCHEMA = f"""
{_FILES};
CREATE TABLE IF NOT EXISTS scans (number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mounts (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unseen (  -- by the last scan, apart from what files has
    path BLOB PRIMARY KEY, kind TEXT NOT NULL, why TEXT NOT NULL, is_folder INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_hits ON files (path) WHERE hits IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_kind ON files (path) WHERE kind IS NOT NULL;
DROP INDEX IF EXISTS by_scan;    -- of format 1, it cost more than all the rest
"""
_COLUMNS = (
    "path",
    "size",
    "mtime_ns",
    "inode",
    "ctime_ns",
    *TYPES,
    "types",
    "kind",
    "why",
    "vague",
    "scan",
    "told",
    "state",
    "hits",
)
_IS_OLD = "files.size = excluded.size AND files.mtime_ns = excluded.mtime_ns AND files.inode = excluded.inode"
# A file that is as it was, apart from its ctime, has not to be told of again. What matched before
# stays until the answer for it has come.
_SAME = " AND ".join(
    [
        _IS_OLD,
        *(f"(files.{name} IS NULL OR coalesce(excluded.{name}, files.{name}) = files.{name})" for name in TYPES),
    ]
)
_PUT = (
    f"INSERT INTO files ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608
    "ON CONFLICT (path) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:] if name not in ("told", "hits"))
    + f", told = CASE WHEN {_SAME} THEN files.told END"
    + f", hits = CASE WHEN excluded.state IS NULL AND {_SAME} THEN files.hits ELSE excluded.hits END"
)
_DIGESTS = slice(5, 5 + len(TYPES))  # of a row
_UNASKED = (None, None)  # state and hits
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

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        """What makes it the same match again, whatever else is said of the entry."""
        return self.type, self.hash, self.set, self.id


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
            if 0 < version < _FORMAT:
                self._move_from(version)
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")
            self.scan = self._next_scan(version)
            self._db.execute("DELETE FROM unseen")
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
        self._swept: tuple[str, bytes] = ("", b"")

    def __enter__(self) -> State:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._db.close()

    def _move_from(self, version: int) -> None:
        """Take over the hashes of an earlier format; its answers do not say what they came from."""
        self._db.execute("DROP INDEX IF EXISTS by_hits")
        self._db.execute("ALTER TABLE files RENAME TO earlier")
        self._db.execute(_FILES)
        kept = ", ".join(("path", "size", "mtime_ns", "inode", *TYPES, "types", "hits"))
        self._db.execute(
            f"INSERT INTO files ({kept}, told, vague, scan) SELECT {kept}, hits, 0, scan FROM earlier"  # noqa: S608
        )
        self._db.execute("DROP TABLE earlier")

    def _next_scan(self, version: int) -> int:
        if not self._db.execute("SELECT 1 FROM scans").fetchone():
            self._db.execute("INSERT INTO scans SELECT coalesce(max(scan), 0) FROM files")
        self._db.execute("UPDATE scans SET number = number + 1")
        return int(self._db.execute("SELECT number FROM scans").fetchone()[0])

    def split(
        self, files: Sequence[FoundFile], names: frozenset[str], again: Collection[NotLookedAt] = ()
    ) -> tuple[list[FoundFile], Counter[NotLookedAt | None]]:
        """Files to read: new, changed, or without a wanted hash. Marks the others as seen.

        Args:
            files: that were found.
            names: hashes that are wanted.
            again: kinds of files to read again though they are as they were.

        Returns:
            These files, and how many others there are of each kind; None: looked at.
        """
        if self._is_new:
            return list(files), Counter()
        kinds: Counter[NotLookedAt | None] = Counter()
        unread: list[FoundFile] = []
        seen: list[_Row] = []
        for file in files:
            row = self._db.execute(
                "SELECT size, mtime_ns, inode, coalesce(ctime_ns, ?), types, kind FROM files WHERE path = ?",
                (file.ctime_ns, file.path),
            ).fetchone()
            same = row and row[:4] == (file.size, file.mtime_ns, file.inode, file.ctime_ns)
            if same and names <= set(row[4].split()) and row[5] not in again:
                seen.append((self.scan, file.ctime_ns, file.path))
                kinds[NotLookedAt(row[5]) if row[5] else None] += 1
            else:
                unread.append(file)
        self._write([("UPDATE files SET scan = ?, ctime_ns = ? WHERE path = ?", seen)])
        return unread, kinds

    def remember(self, hashed: Iterable[Hashed], names: frozenset[str]) -> None:
        """Keep the hashes of files; written within seconds, for what is lost is hashed again."""
        listed = " ".join(sorted(names))
        for file, outcome in hashed:
            if outcome.digests is not None:
                about = (listed, outcome.kind, outcome.trouble, outcome.vague, self.scan, None)
                row = (*file, *outcome.to_ask, *about, *_UNASKED)
                self._unwritten[file.path] = row
                if len(self._unasked) < _MOST_UNASKED:
                    self._unasked[file.path] = row
        if time.monotonic() - self._written_at > _WRITE_SECONDS:
            self.flush()

    def could_not_see(self, unseen: Unseen) -> int:
        """Keep what could not be looked at; what is known of it stays, and counts as of this scan.

        Returns:
            How many files that are known from earlier scans this concerns.
        """
        self.flush()
        self._write(
            [("INSERT OR REPLACE INTO unseen VALUES (?, ?, ?, ?)", [(*unseen[:3], int(unseen.is_folder))])]
        )
        if unseen.kind is NotLookedAt.VANISHED:
            return 0
        where, values = _below(unseen.path) if unseen.is_folder else ("path = ?", (unseen.path,))
        return self._db.execute(
            f"UPDATE files SET scan = ? WHERE {where} AND scan <> ?",  # noqa: S608 - words of our own
            (self.scan, *values, self.scan),
        ).rowcount

    def knows_below(self, root: bytes) -> int:
        """How many files under a root, or of its name, are known from earlier scans."""
        where, values = _below(root)
        found = self._db.execute(f"SELECT count(*) FROM files WHERE {where}", values).fetchone()  # noqa: S608
        return int(found[0])

    @property
    def mounts(self) -> list[bytes]:
        """Where file systems were mounted at the last scan."""
        return [path for (path,) in self._db.execute("SELECT path FROM mounts")]

    def keep_mounts(self, paths: Iterable[bytes]) -> None:
        """Remember where file systems are mounted."""
        self._write([("DELETE FROM mounts", [()]), ("INSERT INTO mounts VALUES (?)", [(path,) for path in paths])])

    def not_looked_at(self) -> Iterator[Unseen]:
        """All that this scan could not look at, by path: files, pictures and folders."""
        self.flush()
        rows = self._db.execute(
            "SELECT path, kind, why, 0 FROM files WHERE scan = ? AND kind IS NOT NULL "
            "AND path NOT IN (SELECT path FROM unseen) "
            "UNION ALL SELECT path, kind, why, is_folder FROM unseen ORDER BY path",
            (self.scan,),
        )
        for path, kind, why, is_folder in rows:
            yield Unseen(path, NotLookedAt(kind), why, bool(is_folder))

    def count_vague(self) -> int:
        """How many files of this scan are pictures without a hash that says enough."""
        self.flush()
        found = self._db.execute("SELECT count(*) FROM files WHERE vague AND scan = ?", (self.scan,)).fetchone()
        return int(found[0])

    def flush(self) -> None:
        """Write what was kept; it survives the end of this process, perhaps not a power cut."""
        self._write([(_PUT, sorted(self._unwritten.values()))])
        self._unwritten.clear()
        self._written_at = time.monotonic()

    def unasked(self, state: str, count: int) -> list[tuple[bytes, tuple[bytes | None, ...]]]:
        """Files of this scan that have no answer which came from a state.

        Returns:
            Paths, and digests in the order of `TYPES`.
        """
        rows = list(islice(self._unasked.values(), count)) or self._sweep(state, count)
        return [(row[0], row[_DIGESTS]) for row in rows]

    def _sweep(self, state: str, count: int) -> list[_Row]:
        """Go on through the table from where the last sweep for this state ended."""
        self.flush()
        after = self._swept[1] if self._swept[0] == state else b""
        rows = self._waiting_between(after, None, state, count)
        if len(rows) < count and after:
            rows += self._waiting_between(b"", after, state, count - len(rows))
        self._swept = (state, rows[-1][0] if rows else after)
        return rows

    def _waiting_between(self, after: bytes, last: bytes | None, state: str, count: int) -> list[_Row]:
        return self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM files WHERE path > ? AND (? IS NULL OR path <= ?) AND scan = ? "  # noqa: S608 - names of our own
            "AND state IS NOT ? ORDER BY path LIMIT ?",
            (after, last, last, self.scan, state, count),
        ).fetchall()

    def answered(self, state: str | None, paths: Sequence[bytes], matches: dict[bytes, list[FileMatch]]) -> None:
        """Keep the answer for some files, on disk before this returns.

        Args:
            state: that all of the answer came from; None: it came from several, or from an unknown
                one, and the files have to be asked about again.
            paths: of the files that were asked about.
            matches: by path, for those that matched.
        """
        new: list[_Row] = []
        changed: list[_Row] = []
        for path in paths:
            found = matches.get(path)
            answer = (state, _as_column(found) if found else None)
            self._unasked.pop(path, None)
            row = self._unwritten.pop(path, None)
            if row is not None:
                new.append(row[: -len(answer)] + answer)
            if row is None or state is None:  # without a state, what matched before would stay
                changed.append((*answer, path))
        new.sort()
        self._write([(_PUT, new), ("UPDATE files SET state = ?, hits = ? WHERE path = ?", changed)])

    def untold(self, path: bytes) -> list[FileMatch]:
        """What one file matched and the hook has not taken yet."""
        hits, told = self._db.execute("SELECT hits, told FROM files WHERE path = ?", (path,)).fetchone()
        known = {match.key for match in _matches_in(told)}
        return [match for match in _matches_in(hits) if match.key not in known]

    def with_untold(self) -> list[bytes]:
        """The files of this scan that have matched and may not have been told of."""
        self.flush()
        rows = self._db.execute(
            "SELECT path FROM files WHERE scan = ? AND hits IS NOT NULL AND told IS NOT hits ORDER BY path",
            (self.scan,),
        )
        return [path for (path,) in rows]

    def told(self, path: bytes, match: FileMatch) -> None:
        """Keep, on disk before this returns, that the hook has taken a match."""
        (before,) = self._db.execute("SELECT told FROM files WHERE path = ?", (path,)).fetchone()
        told = [*_matches_in(before), match]
        self._write([("UPDATE files SET told = ? WHERE path = ?", [(_as_column(told), path)])])

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


def _below(root: bytes) -> tuple[str, tuple[bytes, ...]]:
    """A condition for the paths under a root, and its own; the root of a bucket is a prefix."""
    if is_object(root):
        last = root + b"\xff"  # which no UTF-8 holds
        return "path >= ? AND path < ?", (root, last)
    start = root.rstrip(b"/") + b"/"
    return "(path = ? OR path > ? AND path < ?)", (root, start, start[:-1] + b"0")  # "0" follows "/"


def _as_column(matches: Sequence[FileMatch]) -> bytes:
    return orjson.dumps([asdict(match) for match in matches])


def _matches_in(column: bytes | None) -> list[FileMatch]:
    """The matches in a column: JSON objects with the members of a `FileMatch`."""
    return [] if column is None else [FileMatch(**match) for match in orjson.loads(column)]
