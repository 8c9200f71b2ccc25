"""A query with more matches than are reported is cut to the first, and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from store_model import blocks_of, packed, row, rows_of

from hashcore import Store
from hashcore import hash_type as look_up

MD5 = look_up("md5")


def test_a_hash_that_thousands_of_entries_share_is_capped_for_itself_only(tmp_path: Path) -> None:
    many = [row(7, id=str(n)) for n in range(2500)]
    with Store(tmp_path) as store:
        store.load("police", blocks_of([*many, row(8)], 1000), now=1.0)
        store.load("hotline", blocks_of([row(7), row(9)], 1000), now=1.0)
        with store.read() as snapshot:
            asked = packed("md5", [number.to_bytes(16, "little") for number in (9, 7, 6, 7, 8)])
            matches = snapshot.match(look_up("md5"), asked)
    found = np.bincount(matches.queries, minlength=5).tolist()
    assert [found[0], found[2], found[4]] == [1, 0, 1]
    assert found[1] == found[3] > 0
    assert matches.truncated == {1, 3}


def test_a_hash_listed_often_is_cut_to_the_entries_that_count(store: Store) -> None:
    store.load("a", [rows_of([row(1, id=f"a{n}") for n in range(5)])], now=1.0)
    store.load("b", [rows_of([row(1, id=f"b{n}") for n in range(3)])], now=2.0)
    digests = rows_of([row(1)]).hashes["md5"].digests
    store.withdraw("a", ["a0", "a1", "a4"], now=3.0)
    with store.read() as snapshot:
        for sets, most, found, truncated in (
            (None, 5, 5, set()),
            (None, 4, 4, {0}),
            (frozenset({"a"}), 2, 2, set()),
            (frozenset({"a"}), 1, 1, {0}),
            (frozenset({"b"}), 3, 3, set()),
            (frozenset({"c"}), 3, 0, set()),
        ):
            matches = snapshot.match(MD5, digests, most=most, sets=sets)
            assert (len(matches), matches.truncated) == (found, truncated), (sets, most)
