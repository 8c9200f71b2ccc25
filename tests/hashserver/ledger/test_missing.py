"""A ledger that is missing or empty is an error, and is made only by those who say so."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hashserver.ledger import Ledger, LedgerError, LedgerMissing
from hashserver.ledger.database import FILE, WAL_FILE
from hashserver.ledger.tables.audit import write_audit


def test_nobody_makes_one_by_looking(tmp_path: Path) -> None:
    for read_only in (False, True):
        with pytest.raises(LedgerMissing, match=r"ledger.sqlite is missing; restore a backup.*store new-ledger"):
            Ledger(tmp_path / "data", read_only=read_only)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [False, True])
def test_an_empty_file_is_none(tmp_path: Path, create: bool) -> None:
    (tmp_path / FILE).touch()
    with pytest.raises(LedgerMissing, match="is empty"):
        Ledger(tmp_path, create=create)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(LedgerMissing, match="has no tables"):
        Ledger(tmp_path, create=create)


def test_a_log_without_its_ledger_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / WAL_FILE).write_bytes(b"history")
    with pytest.raises(LedgerMissing, match="its write-ahead log"):
        Ledger(tmp_path, create=True)
    assert [file.name for file in tmp_path.iterdir() if file.name != "ledger.lock"] == [WAL_FILE]


def test_a_new_one_is_whole_at_once(tmp_path: Path) -> None:
    Ledger(tmp_path, create=True).close()
    assert {file.name for file in tmp_path.iterdir()} == {FILE, "ledger.lock"}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    Ledger(tmp_path).close()


def replace(file: Path) -> None:
    file.with_name("other").write_bytes(file.read_bytes())
    file.with_name("other").replace(file)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (Path.unlink, "was deleted while it was in use"),
        (replace, "was replaced while it was in use"),
        (lambda file: file.write_bytes(b""), "was cut short while it was in use"),
    ],
)
def test_nothing_counts_as_written_to_a_file_that_is_gone(tmp_path: Path, harm: object, told: str) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        with ledger.transaction() as connection:
            write_audit(connection, who="user test", action="x", subject="y")
        ledger.check_in_place()
        harm(tmp_path / FILE)  # type: ignore[operator]
        with pytest.raises(LedgerError, match=told):
            ledger.check_in_place()
        with pytest.raises(LedgerError), ledger.transaction() as connection:
            write_audit(connection, who="user test", action="x", subject="y")
        with pytest.raises(LedgerError, match=told):
            ledger.execute("INSERT INTO inbox (matches, hits) VALUES (?, ?)", (0, "[]"))
