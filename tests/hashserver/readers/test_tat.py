"""Tests of `hashserver.readers.tat`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, read, source_of

from hashcore.rows import Withdrawals
from hashserver.readers import read_rows


def item(id: Any, **more: Any) -> dict[str, Any]:
    return {"hash_digest": MD5, "algorithm": "MD5", "deleted": False, "id": id} | more


def test_hashes_and_withdrawals_are_read() -> None:
    items = [
        item(1, ideology="far-right", file_type="jpg"),
        item("2", hash_digest=SHA1.upper(), algorithm="SHA-1"),
        item(3, hash_digest=SHA256, algorithm="sha256", deleted=None),
        item(4, deleted=True, hash_digest=None),
        item(5, hash_digest=SHA256, algorithm="PDQ", deleted="false"),
        item("6", deleted="true"),
        item(None),
    ]
    taken = read(json.dumps(items).encode())
    assert taken.rows == [
        Row(1, {"md5": MD5}, "far-right", b"1"),
        Row(2, {"sha1": SHA1}, None, b"2"),
        Row(3, {"sha256": SHA256}, None, b"3"),
        Row(5, {"pdq": SHA256}, None, b"5"),
        Row(7, {"md5": MD5}, None, b""),
    ]
    assert taken.withdrawn == [(4, b"4"), (6, b"6")]
    assert not taken.rejects


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (item(None, deleted=True), "withdrawn by its source, but has no id"),
        (item(1, deleted="maybe"), "deleted: expected true or false"),
        (item(1, deleted=[]), "deleted: expected true or false"),
        (item(1, algorithm="CRC32"), "algorithm: not supported; supported: md5, sha1"),
        (item(1, algorithm=None), "algorithm: not supported"),
        (item(1, hash_digest=None), "hash_digest: expected a string, got NoneType"),
        (item(1, hash_digest=SHA1), "md5: expected 32 hexadecimal digits, got 40"),
        (item(1, ideology=[]), "ideology: expected a string, got list"),
        (item([], deleted=True), "id: expected a string, got list"),
        ("x", "not a JSON object"),
    ],
)
def test_each_bad_item_is_rejected_with_its_reason_and_its_neighbours_are_taken(bad: Any, reason: str) -> None:
    good = item("x", hash_digest=OTHER_MD5)
    taken = read(json.dumps([good, bad, good]).encode())
    assert [row.line for row in taken.rows] == [1, 3]
    assert taken.rejected == [(2, json.dumps(bad).encode())]
    assert taken.rejects[0].reason.startswith(reason)
    assert not taken.withdrawn


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12))
def test_an_id_that_is_withdrawn_and_comes_back_ends_as_its_last_item_says(events: list[tuple[str, bool]]) -> None:
    data = json.dumps([item(id, deleted=deleted) for id, deleted in events]).encode()
    alive: set[bytes] = set()
    for block in read_rows(source_of(data), on_reject=pytest.fail):
        ids = block.ids
        assert ids is not None
        named = {ids[index] for index in range(len(block))}
        alive = alive - named if isinstance(block, Withdrawals) else alive | named
    assert alive == {id.encode() for id, deleted in dict(events).items() if not deleted}
