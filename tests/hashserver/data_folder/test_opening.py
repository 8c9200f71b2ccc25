"""A data folder that has lost something is not opened, and one that never had anything is new."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_model import rows_of

from hashcore import Store
from hashcore.errors import StoreCorrupt, StoreMissing
from hashserver.data_folder.backup import back_up, restore
from hashserver.data_folder.opening import open_folder, open_ledger
from hashserver.data_folder.replacing import NothingToReplace, accept_store, make_new_ledger
from hashserver.data_folder.verify import verify_folder
from hashserver.ledger import Ledger, LedgerMissing
from hashserver.ledger.known_store import WrongStore
from hashserver.ledger.publications import FOUND_LATER, add_ledger, audited, find_unaudited
from hashserver.ledger.tables.audit import newest_lines
from hashserver.parties import Directory
from hashserver.parties.admin import PartyAdmin
from hashserver.parties.directory import NotAuthenticated
from hashserver.settings import Settings

LEDGER, STORE, SECRET = "ledger.sqlite", "data.mdb", "key-secret"


def load(folder: Path, *contents: bytes, create: bool = True) -> int:
    """Publish a generation for each of some MD5s, as the command does."""
    with open_folder(Settings(data_dir=folder), create=create) as opened:
        for content in contents:
            note = audited(opened.ledger, opened.store, who="user test", action="load", subject="police")
            rows = [rows_of([{"md5": content.ljust(16)}])]
            outcome = opened.store.load("police", rows, now=time.time(), on_done=note)
    return outcome.generation


def opens(folder: Path, *, create: bool = True) -> None:
    open_folder(Settings(data_dir=folder), create=create).close()


def problems_of(folder: Path) -> list[str]:
    return verify_folder(folder, lambda *_: None).problems


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded") / "data"
    assert load(folder, b"a", b"b", b"c") == 3
    assert problems_of(folder) == []
    return folder


@pytest.fixture
def data(loaded: Path, tmp_path: Path) -> Path:
    """A folder with three generations."""
    return Path(shutil.copytree(loaded, tmp_path / "data"))


def test_looking_at_a_folder_that_is_none_makes_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", ".", "none/below"):
        with pytest.raises(StoreMissing, match=r"there is no store in .*; name the data folder of a server"):
            opens(tmp_path / name, create=False)
        with pytest.raises(StoreMissing):
            open_ledger(tmp_path / name)
    for name in ("file", "file/below"):
        for create in (True, False):
            with pytest.raises(NotADirectoryError, match="file"):
                opens(tmp_path / name, create=create)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_new_folder_opens_and_stays_open_until_there_is_a_party(tmp_path: Path) -> None:
    opens(tmp_path)
    opens(tmp_path, create=False)
    for _ in range(2):
        directory = Directory(tmp_path)
        assert (directory.is_open, directory.is_closed) == (True, False)
        directory.close()
        load(tmp_path, b"a", b"b")


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"")], ids=["deleted", "emptied"])
def test_a_lost_ledger_closes_the_folder(data: Path, harm: Callable[[Path], None]) -> None:
    harm(data / LEDGER)
    for create in (True, False):
        with pytest.raises(LedgerMissing, match=r"store restore.*store new-ledger"):
            opens(data, create=create)
    with pytest.raises(LedgerMissing):
        open_ledger(data, create=True)
    with pytest.raises(LedgerMissing):
        Directory(data)
    assert any(str(data / LEDGER) in problem for problem in problems_of(data))
    assert not (data / LEDGER).exists() or not (data / LEDGER).stat().st_size, "nothing was made"


@pytest.mark.parametrize("left", [SECRET, "limits.bin", "ledger.sqlite-wal", STORE])
def test_what_only_a_used_folder_has_means_that_it_is_not_new(data: Path, tmp_path: Path, left: str) -> None:
    (data / SECRET).write_bytes(bytes(32))
    (data / "limits.bin").write_bytes(bytes(64))
    (data / "ledger.sqlite-wal").write_bytes(b"x")
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copyfile(data / left, folder / left)
    with pytest.raises(LedgerMissing):
        opens(folder)
    with pytest.raises(LedgerMissing):
        open_ledger(folder, create=True)


def test_an_empty_store_that_an_earlier_program_made_alone_is_new(tmp_path: Path) -> None:
    Store(tmp_path).close()
    assert load(tmp_path, b"a") == 1


def test_a_lost_store_is_not_an_empty_one(data: Path) -> None:
    (data / STORE).unlink()
    for create in (True, False):
        with pytest.raises(WrongStore, match=r"data.mdb is missing, but the ledger knows of generation 3"):
            opens(data, create=create)
    assert not (data / STORE).exists()
    assert [problem for problem in problems_of(data) if "is missing, but" in problem]
    (data / STORE).write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="is empty"):
        opens(data)
    (data / STORE).unlink()
    Store(data).close()
    with pytest.raises(WrongStore, match=r"data.mdb holds no sets, but the ledger knows of generation 3"):
        opens(data)
    assert len(problems_of(data)) == 1


def test_an_older_store_that_was_put_back_is_told(data: Path) -> None:
    older = (data / STORE).read_bytes()
    assert load(data, b"d") == 4
    (data / STORE).write_bytes(older)
    for create in (True, False):
        with pytest.raises(
            WrongStore, match=r"at generation 3, but the ledger knows of generation 4.*store accept"
        ):
            opens(data, create=create)
    (problem,) = problems_of(data)
    assert "an older file was put back, or the newest changes were lost" in problem


def test_a_meta_page_that_is_rolled_back_is_told(data: Path) -> None:
    """LMDB has two; without the newer one it goes by the older, and by none with both."""
    content = bytearray((data / STORE).read_bytes())
    for page in (0, 1):
        content[page * 4096 + 16 + 128 : page * 4096 + 16 + 136] = bytes(8)  # the number of the commit
        content[page * 4096 + 16 + 24 + 48 + 40 : page * 4096 + 16 + 24 + 96] = b"\xff" * 8  # no pages
    (data / STORE).write_bytes(content)
    with pytest.raises(WrongStore, match="holds no sets"):
        opens(data)
    assert any("holds no sets" in problem for problem in problems_of(data))


def test_store_and_ledger_of_two_folders_do_not_go_together(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    load(other, b"a", b"b", b"c", b"d")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copyfile(data / LEDGER, mixed / LEDGER)
    shutil.copyfile(other / STORE, mixed / STORE)
    with pytest.raises(WrongStore, match="is not the store that the ledger belongs to"):
        opens(mixed)
    assert any("is not the store that the ledger belongs to" in problem for problem in problems_of(mixed))


def test_a_new_ledger_beside_a_published_store_is_not_taken_for_its_own(data: Path, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "fresh", create=True) as ledger:
        PartyAdmin(ledger, "user test").add("intruder")
    shutil.copyfile(tmp_path / "fresh" / LEDGER, data / LEDGER)
    with pytest.raises(WrongStore, match="the ledger knows nothing of it"):
        opens(data)
    assert any("the ledger knows nothing of it" in problem for problem in problems_of(data))


def test_a_first_load_that_was_killed_before_its_line_was_written_is_audited_later(tmp_path: Path) -> None:
    with open_folder(Settings(data_dir=tmp_path), create=True) as opened:
        audited(opened.ledger, opened.store, who="user test", action="load", subject="police")
        opened.store.load("police", [rows_of([{"md5": b"a" * 16}])], now=1.0)
    with open_folder(Settings(data_dir=tmp_path)) as opened:
        assert find_unaudited(opened.ledger, opened.store) == 1
        assert [line.who for line in newest_lines(opened.ledger.connection)] == [FOUND_LATER]
    assert problems_of(tmp_path) == []


def test_ledgers_of_earlier_programs_name_no_store(data: Path) -> None:
    with sqlite3.connect(data / LEDGER) as connection:
        connection.execute("DROP TRIGGER audit_keeps_words")
        connection.execute("UPDATE audit SET after = json_remove(after, '$.store')")
        connection.execute("DELETE FROM meta WHERE name = 'publishing'")
    assert load(data, b"d", create=False) == 4
    assert problems_of(data) == []


def test_a_backup_that_is_made_while_sets_change_agrees_with_itself(data: Path, tmp_path: Path) -> None:
    with open_folder(Settings(data_dir=data)) as opened, Ledger(data) as other:

        def change(what: str, done: int, total: int) -> None:
            if what == "ledger" and done == total:  # and the store is not yet copied
                note = audited(other, opened.store, who="user test", action="load", subject="police")
                rows = [rows_of([{"md5": b"later".ljust(16)}])]
                opened.store.load("police", rows, now=time.time(), on_done=note)

        manifest = back_up(opened.ledger, opened.store, tmp_path / "backup", change)
    assert manifest["generation"] == 4
    assert problems_of(tmp_path / "backup") == []
    restore(tmp_path / "backup", tmp_path / "restored")
    with open_folder(Settings(data_dir=tmp_path / "restored")) as opened:
        assert find_unaudited(opened.ledger, opened.store) == 1
    assert load(tmp_path / "restored", b"e") == 5
    assert problems_of(tmp_path / "restored") == []


def test_a_new_ledger_in_place_of_a_lost_one_answers_nobody_until_there_is_a_party(data: Path) -> None:
    with pytest.raises(NothingToReplace, match="is there, and nothing was changed"):
        make_new_ledger(data, who="user test", because="of a test")
    (data / LEDGER).unlink()
    (data / "ledger.sqlite-wal").write_bytes(b"history")
    assert make_new_ledger(data, who="user test", because="of a test") == 3
    assert [file.read_bytes() for file in data.glob("ledger.sqlite-wal.lost-*")] == [b"history"]
    with open_folder(Settings(data_dir=data)) as opened:
        (line,) = newest_lines(opened.ledger.connection)
        assert (line.who, line.action, line.after["because"]) == ("user test", "store new-ledger", "of a test")
        directory = Directory(data)
        assert (directory.is_open, directory.is_closed) == (False, True)
        with pytest.raises(NotAuthenticated, match="hashserver party add"):
            directory.authenticate(None)
        key = PartyAdmin(opened.ledger, "user test").add("first")
        assert directory.refresh()
        assert (directory.is_open, directory.is_closed) == (False, False)
        assert directory.authenticate(f"Bearer {key}").name == "first"
        directory.close()
    assert load(data, b"d") == 4
    assert problems_of(data) == []


def test_an_older_store_can_be_accepted_and_goes_on_from_there(data: Path) -> None:
    older = (data / STORE).read_bytes()
    load(data, b"d", b"e")
    with pytest.raises(NothingToReplace, match="at generation 5"):
        accept_store(data, who="user test", because="of a test")
    (data / STORE).write_bytes(older)
    known, generation = accept_store(data, who="user test", because="the disk failed")
    assert (known.generation, generation) == (5, 3)
    assert problems_of(data) == []
    with open_folder(Settings(data_dir=data)) as opened:
        line = newest_lines(opened.ledger.connection, 1)[0]
        assert (line.action, line.before["generation"], line.after["because"]) == (
            "store accept",
            5,
            "the disk failed",
        )
        # Killed before the line: the number 4 is in the log already, but of what was lost.
        opened.store.load("police", [rows_of([{"md5": b"f" * 16}])], now=time.time())
        assert find_unaudited(opened.ledger, opened.store) == 1
    directory = Directory(data)
    assert directory.is_open, "it never had parties, and its ledger says so"
    directory.close()


def test_a_lost_store_and_a_foreign_ledger_can_be_accepted(data: Path, tmp_path: Path) -> None:
    (data / STORE).unlink()
    accept_store(data, who="user test", because="of a test")
    assert load(data, b"x") == 1
    assert problems_of(data) == []
    open_ledger(tmp_path / "fresh", create=True).close()
    shutil.copyfile(tmp_path / "fresh" / LEDGER, data / LEDGER)
    accept_store(data, who="user test", because="of a test")
    directory = Directory(data)
    assert directory.is_closed, "nobody knows whether there were parties"
    directory.close()
    assert problems_of(data) == []


def test_a_store_that_was_filled_without_a_ledger_can_be_given_one(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("police", [rows_of([{"md5": b"a" * 16}])], now=0.0)
        add_ledger(store)
    opens(tmp_path)
    assert os.path.exists(tmp_path / LEDGER)
