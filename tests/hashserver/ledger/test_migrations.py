"""A ledger of an earlier program: migrated in place, whole or not at all, and verified as it is."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hashserver.data_folder.backup import back_up, restore
from hashserver.data_folder.opening import open_folder
from hashserver.data_folder.verify import verify_folder
from hashserver.ledger import Ledger, LedgerError, migrations
from hashserver.ledger.database import FILE
from hashserver.ledger.fold import fold
from hashserver.ledger.schema import VERSION
from hashserver.ledger.tables.audit import newest_lines
from hashserver.ledger.tables.entries import read_entry
from hashserver.ledger.tables.feedback import newest_feedback
from hashserver.ledger.verify import OfStore, verify_ledger
from hashserver.settings import Settings

VERSION_1 = """CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('parties_version', 0), ('probe', 0);

CREATE TABLE parties (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created INTEGER NOT NULL,
    disabled INTEGER,
    permissions TEXT NOT NULL,
    sets TEXT,
    max_rate REAL,
    daily_quota INTEGER
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    party INTEGER NOT NULL REFERENCES parties (id),
    digest BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

CREATE TABLE counts (
    hour INTEGER NOT NULL,
    party INTEGER NOT NULL,
    type TEXT NOT NULL,
    requests INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    PRIMARY KEY (hour, party, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    matches INTEGER NOT NULL,
    hits TEXT NOT NULL
) STRICT;

CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    set_name TEXT NOT NULL,
    key TEXT NOT NULL,
    external TEXT,
    category TEXT,
    added INTEGER NOT NULL,
    first_hit INTEGER NOT NULL,
    UNIQUE (set_name, key)
) STRICT;

CREATE TABLE hits (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    party INTEGER NOT NULL,
    request TEXT NOT NULL,
    generation INTEGER NOT NULL,
    type TEXT NOT NULL,
    entry INTEGER NOT NULL,
    distance INTEGER NOT NULL,
    rank INTEGER NOT NULL
) STRICT;

CREATE TABLE hit_days (
    day INTEGER NOT NULL,
    party INTEGER NOT NULL,
    set_name TEXT NOT NULL,
    category TEXT NOT NULL,
    type TEXT NOT NULL,
    distance INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    matches INTEGER NOT NULL,
    PRIMARY KEY (day, party, set_name, category, type, distance)
) STRICT, WITHOUT ROWID;

CREATE TABLE sightings (
    month INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    party INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    matches INTEGER NOT NULL,
    PRIMARY KEY (month, entry, party)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    party INTEGER NOT NULL,
    set_name TEXT NOT NULL,
    external TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('false-positive', 'confirmed')),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_keeps_numbers BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""
"""What the first program made; it never changes."""

NOON = 1_767_268_800_000
DAY, MONTH, HOUR = NOON // 86_400_000, 672, NOON // 3_600_000
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "parties": [
        (1, "Host", NOON, None, '["check"]', '["police"]', 5.5, 100),
        (2, "Gone", 1, 2, "[]", None, None, None),
    ],
    "keys": [(1, 1, b"d" * 32, NOON, None, None), (2, 1, b"e" * 32, NOON, NOON + 1, NOON + 2)],
    "counts": [(HOUR, 1, "md5", 2, 1000, 1, 3)],
    "inbox": [(7, 1, json.dumps([[NOON, 1, "r3", 3, "md5", 0, 0, "police", "id:A-3", "A-3", None, 5]]))],
    "entries": [(1, "police", "id:A-1", "A-1", "baseline", 5, NOON), (4, "other", "hash:00", None, None, 6, NOON)],
    "hits": [(1, NOON, 1, "r1", 3, "md5", 1, 0, 0), (9, NOON, 1, "r1", 3, "md5", 4, 2, 1)],
    "hit_days": [(DAY, 1, "police", "baseline", "md5", 0, 1, 1), (DAY, 1, "other", "", "md5", 2, 0, 1)],
    "sightings": [(MONTH, 1, 1, NOON, NOON, 1), (MONTH, 4, 1, NOON, NOON, 1)],
    "feedback": [(3, NOON, 1, "police", "A-1", "false-positive", "a logo")],
    "audit": [(1, NOON, "user a", "party add", "Host", None, '{"party":"Host"}')],
}
NEW_NAMES = {"hits": "matches"}


def make_version_1(folder: Path) -> None:
    """A ledger of the first program, with rows in every table."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {VERSION_1} PRAGMA user_version = 1; COMMIT;")
        for table, rows in ROWS.items():
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute("UPDATE meta SET value = 5 WHERE name = 'parties_version'")
    connection.close()


def tables_of(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def shape_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """Columns, foreign keys and indexes of every table, and the triggers."""
    names = sorted(tables_of(connection))
    pragmas = ("table_xinfo", "foreign_key_list", "index_list")
    shape: dict[str, Any] = {
        name: [connection.execute(f"PRAGMA {pragma}({name})").fetchall() for pragma in pragmas] for name in names
    }
    options = connection.execute("SELECT name, type, ncol, wr, strict FROM pragma_table_list ORDER BY name")
    triggers = connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1"
    )
    return {**shape, "options": options.fetchall(), "triggers": triggers.fetchall()}


def assert_whole(connection: sqlite3.Connection, version: int) -> None:
    """All rows are there, under the names of a version."""
    assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    for table, rows in ROWS.items():
        name = table if version == 1 else NEW_NAMES.get(table, table)
        assert sorted(connection.execute(f"SELECT * FROM {name}").fetchall()) == sorted(rows), name
    assert connection.execute("SELECT value FROM meta WHERE name = 'parties_version'").fetchone() == (5,)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_ledger_of_the_first_program_is_migrated_when_it_is_opened(tmp_path: Path, read_only: bool) -> None:
    make_version_1(tmp_path / "old")
    with Ledger(tmp_path / "old", read_only=read_only) as ledger, Ledger(tmp_path / "new", create=True) as made:
        assert_whole(ledger.connection, VERSION)
        assert shape_of(ledger.connection) == shape_of(made.connection)
        assert "hits" not in tables_of(ledger.connection)
        assert newest_feedback(ledger.connection, 9)[0].id == "A-1"
        assert read_entry(ledger.connection, 1).id == "A-1"
        assert newest_lines(ledger.connection)[0].after == {"party": "Host"}
    with Ledger(tmp_path / "old") as ledger:
        assert fold(ledger) == 1
        numbers = [number for (number,) in ledger.connection.execute("SELECT id FROM entries ORDER BY id")]
        assert numbers == [1, 4, 5], "numbers of entries are never given twice"
        with pytest.raises(LedgerError, match="append-only"), ledger.transaction() as connection:
            connection.execute("DELETE FROM audit")
        told: list[str] = []
        verify_ledger(tmp_path / "old", told.append)
        assert told == []


def _open_slowly(folder: Path, after: int, told: multiprocessing.SimpleQueue[str]) -> None:
    statements = list(migrations.STEPS[1])

    def slow() -> Iterator[str]:
        yield from statements[:after]
        told.put("there")
        time.sleep(60)

    migrations.STEPS[1] = slow()
    Ledger(folder, create=True)


@pytest.mark.parametrize("after", range(len(list(migrations.STEPS[1])) + 1))
def test_killed_while_migrating_it_is_still_the_old_one_and_migrated_next_time(tmp_path: Path, after: int) -> None:
    make_version_1(tmp_path)
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    process = context.Process(target=_open_slowly, args=(tmp_path, after, told))
    process.start()
    assert told.get() == "there"
    process.kill()
    process.join()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert_whole(connection, 1)
    with Ledger(tmp_path, create=True) as ledger:
        assert_whole(ledger.connection, VERSION)


def _open(folder: Path, told: multiprocessing.SimpleQueue[str]) -> None:
    try:
        with Ledger(folder, create=True) as ledger:
            assert_whole(ledger.connection, VERSION)
        told.put("")
    except BaseException as error:
        told.put(repr(error))


def test_processes_that_open_it_at_once_migrate_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(10):
        folder, told = tmp_path / str(turn), context.SimpleQueue()
        make_version_1(folder)
        processes = [context.Process(target=_open, args=(folder, told)) for _ in range(4)]
        for process in processes:
            process.start()
        assert [told.get() for _ in processes] == [""] * 4
        for process in processes:
            process.join()


def test_one_who_has_it_open_goes_on_after_another_has_migrated_it(tmp_path: Path) -> None:
    """A server of the first program puts hits on disk while a newer command is used beside it."""
    make_version_1(tmp_path)
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as old:
        insert = "INSERT INTO inbox (matches, hits) VALUES (?, ?)"
        row = [NOON, 1, "r4", 3, "md5", 0, 0, "police", "id:A-1", "A-1", None, 5]
        old.execute(insert, (1, json.dumps([row])))
        with Ledger(tmp_path, create=True) as ledger:
            old.execute(insert, (1, json.dumps([row])))
            assert fold(ledger) == 3


def test_an_old_file_that_cannot_be_written_is_verified_as_it_is(tmp_path: Path) -> None:
    make_version_1(tmp_path)
    told: list[str] = []
    of_store: list[OfStore] = []
    content = (tmp_path / FILE).read_bytes()
    found = verify_ledger(tmp_path, told.append, copy=True, of_store=of_store)
    assert (told, [each.hit for each in of_store]) == ([], [3])
    assert found == {NEW_NAMES.get(table, table): len(rows) for table, rows in ROWS.items() if table != "inbox"}
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE]
    assert (tmp_path / FILE).read_bytes() == content
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DELETE FROM hits WHERE id = 9")
    verify_ledger(tmp_path, told.append)
    assert any("1 sums of hit_days do not agree with the rows of matches" in line for line in told)


def test_a_backup_of_the_first_program_is_verified_restored_and_then_migrated(tmp_path: Path) -> None:
    data, backup, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    with open_folder(Settings(data_dir=data), create=True) as folder:
        back_up(folder.ledger, folder.store, backup)
    make_version_1(tmp_path / "old")
    shutil.copyfile(tmp_path / "old" / FILE, backup / FILE)
    (backup / "key-secret").write_bytes(b"s" * 32)
    manifest = json.loads((backup / "manifest.json").read_bytes())
    for name in (FILE, "key-secret"):
        content = (backup / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (backup / "manifest.json").write_text(json.dumps(manifest))
    # Its hits are of a generation that this store has not reached; nothing else may be wrong.
    problems = verify_folder(backup, lambda *_: None).problems
    assert [problem for problem in problems if "hits of generation 3" not in problem] == []
    restore(backup, restored)
    with sqlite3.connect(f"file:{restored / FILE}?immutable=1", uri=True) as connection:
        assert_whole(connection, 1)
    with Ledger(restored) as ledger:
        assert_whole(ledger.connection, VERSION)
    assert os.stat(restored / FILE).st_mode & 0o777 == 0o600
