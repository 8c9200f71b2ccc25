"""A data file that was emptied or cut short is refused with a sentence, and not answered from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_processes import assert_holds, blocks

from hashcore import Store
from hashcore.disk.wholeness import DATA_FILE
from hashcore.errors import StoreCorrupt, StoreError, StoreMissing
from hashcore.verifying.verify import verify_copy

ROWS = 30_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with Store(folder) as store:
        store.load("known", blocks(0, ROWS), now=1.0)
        store.load("b", blocks(1, ROWS), now=2.0)
    return folder


def test_no_store_is_made_where_none_shall_be(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="there is no store in"):
        Store(tmp_path / "nothing", create=False)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("create", [True, False])
def test_an_empty_file_is_no_new_store(tmp_path: Path, create: bool) -> None:
    (tmp_path / DATA_FILE).touch()
    with pytest.raises(StoreCorrupt, match=r"data\.mdb is empty; restore it from a backup"):
        Store(tmp_path, create=create)
    with pytest.raises(StoreCorrupt, match="is empty"):
        verify_copy(tmp_path, print)
    assert not (tmp_path / DATA_FILE).stat().st_size


@settings(max_examples=8)
@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_file_that_was_cut_short_is_refused(
    filled: Path, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    shutil.copy(filled / DATA_FILE, folder / DATA_FILE)
    size = (folder / DATA_FILE).stat().st_size
    os.truncate(folder / DATA_FILE, max(1, int(size * share)))
    with pytest.raises(StoreError, match=r"was cut short|cannot open the store"):
        Store(folder)
    with pytest.raises(StoreError, match=r"was cut short|cannot open the store"):
        verify_copy(folder, print)


def test_pages_that_were_never_written_are_not_missed(filled: Path, tmp_path: Path) -> None:
    """The last pages may have been allocated and freed within one commit: used ones count."""
    shutil.copy(filled / DATA_FILE, tmp_path / DATA_FILE)
    with Store(tmp_path) as store:
        store.remove("known", now=3.0)
        store.remove("b", now=4.0)
        environment = store._environment
        used = environment.bytes_used()
    os.truncate(tmp_path / DATA_FILE, used + 8192)  # longer is fine as well
    with Store(tmp_path) as store:
        store.rollback(2, now=5.0)
        assert_holds(store, 0, ROWS)


def test_files_that_are_deleted_replaced_or_cut_short_in_use_are_noticed(filled: Path, tmp_path: Path) -> None:
    for name in ("deleted", "replaced", "cut"):
        shutil.copytree(filled, tmp_path / name)
    for name, sentence in (
        ("deleted", "was deleted while it was in use"),
        ("replaced", "was replaced while it was in use"),
        ("cut", "was cut short while it was in use"),
    ):
        file = tmp_path / name / DATA_FILE
        with Store(tmp_path / name) as store:
            store.check_in_place()
            store.load("c", blocks(2, 100), now=3.0)
            store.check_in_place()
            if name == "deleted":
                file.unlink()
            elif name == "replaced":
                shutil.copy(filled / DATA_FILE, tmp_path / "other")
                (tmp_path / "other").replace(file)
            else:
                os.truncate(file, file.stat().st_size - 4096)
            with pytest.raises(StoreCorrupt, match=sentence):
                store.check_in_place()


def test_a_bus_error_ends_with_a_sentence_and_exit_code_3(tmp_path: Path) -> None:
    program = (
        "import mmap, os\n"
        "from hashcore.disk.wholeness import catch_bus_errors\n"
        "catch_bus_errors()\n"
        "open('file', 'wb').write(bytes(8192))\n"
        "with open('file', 'r+b') as file:\n"
        "    mapped = mmap.mmap(file.fileno(), 8192)\n"
        "    os.truncate('file', 4096)\n"
        "    mapped[5000]\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 3
    assert "was cut short, or its disk failed" in ran.stderr
    assert "hashserver store verify" in ran.stderr


def test_a_state_names_one_generation_as_one_party_sees_it(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "copy")
    states = set()
    with Store(filled) as store, store.read() as snapshot:
        everything = snapshot.state()
        states |= {snapshot.state(frozenset({"known"})), snapshot.state(frozenset({"known", "b"})), everything}
        assert snapshot.state(frozenset({"known"})) == snapshot.state(frozenset(["known"]))
    with Store(tmp_path / "copy") as store:
        with store.read() as snapshot:
            assert snapshot.state() == everything
        store.load("c", blocks(3, 100), now=3.0)
        with store.read() as snapshot:
            states.add(snapshot.state())
    # The same number of a generation, published at another time from the same state before it.
    shutil.copytree(filled, tmp_path / "put back")
    with Store(tmp_path / "put back") as store:
        store.load("c", blocks(4, 100), now=4.0)
        with store.read() as snapshot:
            assert snapshot.generation == 3
            states.add(snapshot.state())
    assert len(states) == 5
    with Store(tmp_path / "new") as store:
        with store.read() as snapshot:
            assert snapshot.store_id == ""
        store.load("known", blocks(0, ROWS), now=1.0)
        with store.read() as snapshot:
            assert len(snapshot.store_id) == 32
