"""What a snapshot tells about the entries of a set."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import row, rows_of

from hashcore import Limits, LoadOptions, Store
from hashcore import hash_type as look_up
from hashcore.errors import UnknownSet

APPEND = LoadOptions(append=True)


@settings(max_examples=100, deadline=None)
@given(
    loads=st.lists(
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["", "a", "b"]), st.sampled_from(["md5", "pdq"]))),
        min_size=1,
        max_size=3,
    ),
    withdrawn=st.sets(st.sampled_from(["a", "b"]), max_size=1),
    ids=st.sets(st.sampled_from(["", "a", "b", "c"])),
    numbers=st.sets(st.integers(1, 7)),
    slab_rows=st.sampled_from([1 << 18, 2]),
)
def test_entries_are_counted_that_have_an_id_or_else_a_first_hash(
    loads: list[list[tuple[int, str, str]]],
    withdrawn: set[str],
    ids: set[str],
    numbers: set[int],
    slab_rows: int,
) -> None:
    entries = {each for load in loads for each in load}

    def digest_of(number: int, hash_type: str) -> bytes:
        return hashlib.shake_128(bytes([number])).digest(look_up(hash_type).width)

    digests = [digest_of(number, hash_type) for number in numbers for hash_type in ("md5", "pdq")]
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("hashcore.reading.wanted._SLAB_ROWS", slab_rows),
        Store(Path(folder), limits=Limits(piece_bytes=64)) as store,
    ):
        for now, load in enumerate(loads):
            rows = [{hash_type: digest_of(number, hash_type), "id": id} for number, id, hash_type in load]
            store.load("known", [rows_of(rows)] if rows else [], APPEND, now=float(now))
        if withdrawn & {id for _, id, _ in entries}:
            store.withdraw("known", sorted(withdrawn), now=9.0)
        with store.read() as snapshot:
            count = snapshot.count_entries("known", ids, digests)
            with pytest.raises(UnknownSet):
                snapshot.count_entries("unknown", ids, digests)
    left = [(number, id) for number, id, _ in entries if id not in withdrawn]
    assert count == sum(id in ids if id else number in numbers for number, id in left)


def test_what_an_entry_holds_can_be_looked_up_until_it_is_withdrawn(store: Store) -> None:
    hashes = {"md5": bytes(range(16)), "pdq": bytes(range(32))}
    store.load("known", [rows_of([{**hashes, "id": "A-1", "category": "baseline"}, row(5, id="A-2")])], now=1.0)
    with store.read() as snapshot:
        (found,) = snapshot.find("known", "A-1")
        assert (found.hashes, found.category, found.added) == (hashes, "baseline", 1.0)
        assert snapshot.find("known", "A-3") == snapshot.find("known", "") == []
        with pytest.raises(UnknownSet, match="no set named 'other'"):
            snapshot.find("other", "A-1")
    store.withdraw("known", ["A-1"], now=2.0)
    with store.read() as snapshot:
        assert snapshot.find("known", "A-1") == []
