"""Another format and damaged records are refused, in a sentence that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
from store_processes import assert_holds, blocks

from hashcore import Limits, Store
from hashcore.disk.layout import FORMAT, KEY_CURRENT, KEY_FORMAT, manifest_key
from hashcore.errors import FormatMismatch, StoreCorrupt

ROWS = 20_000


def a_store(folder: Path) -> Path:
    with Store(folder, limits=Limits(piece_bytes=1 << 14)) as store:
        store.load("known", blocks(1, ROWS), now=1.0)
    return folder


def change(folder: Path, apply: Callable[[Any], None]) -> None:
    with (
        lmdb.open(str(folder), map_size=1 << 30, max_readers=1024) as environment,
        environment.begin(write=True) as transaction,
    ):
        apply(transaction)


def test_another_format_is_refused_in_a_sentence_that_names_both(tmp_path: Path) -> None:
    a_store(tmp_path)
    change(tmp_path, lambda transaction: transaction.put(KEY_FORMAT, b"77"))
    sentence = f"the store has on-disk format 77, this program reads format {FORMAT}; use the program version"
    with pytest.raises(FormatMismatch, match=sentence):
        Store(tmp_path)


def test_a_store_that_was_refused_can_be_opened_when_it_has_been_mended(tmp_path: Path) -> None:
    """In the same process: what was opened to look at it is closed again."""
    a_store(tmp_path)
    change(tmp_path, lambda transaction: transaction.put(KEY_FORMAT, b"77"))
    with pytest.raises(FormatMismatch) as refusal:
        Store(tmp_path)
    change(tmp_path, lambda transaction: transaction.put(KEY_FORMAT, str(FORMAT).encode()))
    with Store(tmp_path) as store:
        assert_holds(store, 1, ROWS)
    assert "77" in str(refusal.value)


def keys_of(transaction: Any, start: bytes, part: bytes = b"") -> list[bytes]:
    return [key for key, _ in transaction.cursor() if key.startswith(start) and part in key]


def drop_piece(transaction: Any) -> None:
    transaction.delete(keys_of(transaction, b"p", b"sha1/")[1])


def cut_piece(transaction: Any) -> None:
    key = keys_of(transaction, b"p", b"sha1/")[1]
    transaction.put(key, transaction.get(key)[:-1])


def lengthen_piece(transaction: Any) -> None:
    key = keys_of(transaction, b"p", b"words/")[0]
    transaction.put(key, transaction.get(key) + b"more")


def drop_segment(transaction: Any) -> None:
    transaction.delete(keys_of(transaction, b"s")[0])


def drop_filter(transaction: Any) -> None:
    transaction.delete(next(key for key in keys_of(transaction, b"f") if key != KEY_FORMAT))


def drop_manifest(transaction: Any) -> None:
    transaction.delete(manifest_key(1))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (drop_piece, r"piece \d+ of column \S*sha1 of object \d+ is missing or cut short"),
        (cut_piece, r"piece \d+ of column \S*sha1 of object \d+ is missing or cut short"),
        (lengthen_piece, r"piece 0 of column words of object \d+ is missing or cut short"),
        (drop_segment, r"segment \d+ is missing from the store"),
        (drop_filter, r"filter \d+ is missing from the store"),
        (drop_manifest, r"the manifest of the current generation 1 is missing"),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, damage: Callable[[Any], None], sentence: str) -> None:
    a_store(tmp_path)
    change(tmp_path, damage)
    with pytest.raises(StoreCorrupt, match=sentence):
        Store(tmp_path)


def mangle_manifest(transaction: Any) -> None:
    transaction.put(manifest_key(1), transaction.get(manifest_key(1))[:-20])


def mangle_segment(transaction: Any) -> None:
    transaction.put(keys_of(transaction, b"s")[0], b"{}")


def mangle_current(transaction: Any) -> None:
    transaction.put(KEY_CURRENT, b"\xff" * 8)


def mangle_format(transaction: Any) -> None:
    transaction.put(KEY_FORMAT, b"one")


@pytest.mark.parametrize(
    "damage",
    [
        mangle_current,
        mangle_manifest,
        mangle_segment,
        mangle_format,
    ],
)
def test_records_that_cannot_be_read_are_damage_too(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    a_store(tmp_path)
    change(tmp_path, damage)
    with pytest.raises((StoreCorrupt, FormatMismatch)):
        Store(tmp_path)
