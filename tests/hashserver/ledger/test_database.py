"""The ledger's file: made once, refused when newer or damaged; an audit log that only grows."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.database import FILE
from hashserver.ledger.schema import VERSION
from hashserver.ledger.tables.audit import write_audit


def open_and_write(folder: Path, told: multiprocessing.SimpleQueue[str]) -> None:
    try:
        with Ledger(folder, create=True) as ledger:
            for _ in range(20):
                with ledger.transaction() as connection:
                    write_audit(connection, who="user test", action="x", subject="y")
        told.put("")
    except Exception as error:
        told.put(repr(error))


def test_processes_that_start_at_once_make_one_ledger(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(15):
        folder, told = tmp_path / str(turn), context.SimpleQueue()
        processes = [context.Process(target=open_and_write, args=(folder, told)) for _ in range(4)]
        for process in processes:
            process.start()
        assert [told.get() for _ in processes] == [""] * 4
        for process in processes:
            process.join()
        with Ledger(folder, create=True) as ledger:
            assert ledger.connection.execute("SELECT count(*) FROM audit").fetchone() == (80,)


def test_what_it_holds_is_synchronised_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Ledger(folder, create=True) as ledger:
        pragmas = {
            name: ledger.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        with ledger.transaction() as connection:
            write_audit(connection, who="user test", action="x", subject="y")
        modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
        assert set(modes.values()) == {0o600}
        assert f"{FILE}-wal" in modes
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_newer_layout_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Ledger(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for read_only in (False, True):
        with pytest.raises(LedgerError, match=f"layout {VERSION + 1}, this program reads layout {VERSION}"):
            Ledger(tmp_path, read_only=read_only)
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


def test_a_file_that_is_no_ledger_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database " * 1000)
    with pytest.raises(LedgerError, match=r"ledger.sqlite is damaged .* restore it from a backup"):
        Ledger(tmp_path, create=True)


TAMPERING = [
    "UPDATE audit SET who = 'nobody'",
    "UPDATE audit SET after = NULL WHERE id = 1",
    "DELETE FROM audit",
    "INSERT OR REPLACE INTO audit (id, time, who, action, subject) VALUES (1, 0, 'nobody', 'x', 'y')",
    "REPLACE INTO audit (id, time, who, action, subject) VALUES (1, 0, 'nobody', 'x', 'y')",
    "INSERT INTO audit (id, time, who, action, subject) VALUES (1, 0, 'n', 'x', 'y')"
    " ON CONFLICT DO UPDATE SET who = 'nobody'",
]


@pytest.mark.parametrize("statement", TAMPERING)
def test_the_audit_log_only_grows(tmp_path: Path, statement: str) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        for _ in range(2):
            with ledger.transaction() as connection:
                write_audit(connection, who="user test", action="x", subject="y", after={"b": 1, "a": None})
        before = ledger.connection.execute("SELECT * FROM audit").fetchall()
        assert [row[0] for row in before] == [1, 2]
        assert before[0][6] == '{"a":null,"b":1}'
        with pytest.raises(LedgerError, match="append-only"), ledger.transaction() as connection:
            connection.execute(statement)
        assert ledger.connection.execute("SELECT * FROM audit").fetchall() == before


def test_one_who_only_reads_cannot_write(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path, read_only=True, create=True) as ledger,
        pytest.raises(LedgerError),
        ledger.transaction() as connection,
    ):
        write_audit(connection, who="user test", action="x", subject="y")


def test_a_block_that_fails_leaves_nothing_and_lets_others_write(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger, Ledger(tmp_path, create=True) as other:
        with pytest.raises(TypeError), ledger.transaction() as connection:
            _write_and_fail(connection)
        with other.transaction() as connection:
            assert connection.execute("SELECT * FROM meta WHERE name = 'x'").fetchall() == []


def _write_and_fail(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('x', 1)")
    write_audit(connection, who="user test", action="x", subject="y", after=object())


def test_closing_twice_closes_nothing_of_others(tmp_path: Path) -> None:
    first = Ledger(tmp_path, create=True)
    first.close()
    with Ledger(tmp_path, create=True) as second:  # it has the number of the descriptor that was closed
        first.close()
        with second.transaction() as connection:
            write_audit(connection, who="user test", action="x", subject="y")


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger, Ledger(tmp_path, create=True) as other:
        entered = threading.Event()

        def write() -> None:
            with other.transaction():
                entered.set()

        with ledger.transaction():
            thread = threading.Thread(target=write)
            thread.start()
            assert not entered.wait(0.2)
        assert entered.wait(5)
        thread.join()


def test_what_is_read_is_of_one_moment(tmp_path: Path) -> None:
    def rows(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM audit").fetchone()[0])

    with Ledger(tmp_path, create=True) as reader, Ledger(tmp_path, create=True) as writer:
        with reader.reading() as connection:
            assert rows(connection) == 0
            with writer.transaction() as writing:
                write_audit(writing, who="user test", action="x", subject="y")
            assert rows(connection) == 0
        with suppress(RuntimeError), reader.reading() as connection:
            assert rows(connection) == 1
            raise RuntimeError
        with reader.transaction() as connection:  # nothing is left open
            assert rows(connection) == 1


def test_damage_met_while_reading_is_a_sentence(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger, ledger.transaction() as connection:
        for number in range(2000):
            write_audit(connection, who="user test", action="x", subject=f"{number:0100}")
    file = tmp_path / FILE
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"\xa5" * (size // 4))
    with (
        Ledger(tmp_path, create=True) as ledger,
        pytest.raises(LedgerError, match=r"ledger\.sqlite is damaged .*; restore it from a backup"),
        ledger.reading() as connection,
    ):
        connection.execute("SELECT subject FROM audit").fetchall()
