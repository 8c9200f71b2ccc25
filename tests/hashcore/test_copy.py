"""A copy of a store in use is a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_processes import assert_holds, blocks

from hashcore import Store
from hashcore.errors import StoreError


def test_a_copy_holds_what_was_published_and_not_what_came_after(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with Store(tmp_path / "here") as store:
        store.load("known", blocks(1, 2000), now=1.0)
        with store.read():
            store.copy_to(there)
        store.load("known", blocks(2, 2000), now=2.0)
        with pytest.raises(StoreError, match="holds a store already; nothing was copied"):
            store.copy_to(there)
    assert (there / "data.mdb").stat().st_size < (tmp_path / "here" / "data.mdb").stat().st_size
    with Store(there) as copy:
        assert assert_holds(copy, 1, 2000, (2,)) == 1
        assert copy.load("known", blocks(2, 2000), now=2.0).generation == 2


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "there" / "data.mdb"
    with Store(tmp_path / "here") as store:
        store.load("known", blocks(1, 100), now=1.0)
        blocked.parent.mkdir()
        blocked.symlink_to(tmp_path / "absent" / "data.mdb")
        with pytest.raises(StoreError, match="cannot copy the store to"):
            store.copy_to(blocked.parent)
    assert list(blocked.parent.iterdir()) == []
