"""Tests of `hashserver.readers.rclone`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, read


def file(path: str, **hashes: Any) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {
        "Path": path,
        "Name": name,
        "Size": 43,
        "MimeType": "image/jpeg",
        "ModTime": "2026-01-02T03:04:05Z",
        "IsDir": False,
        "Hashes": hashes,
    }


def folder(path: str) -> dict[str, Any]:
    return {"Path": path, "Name": path, "Size": -1, "MimeType": "inode/directory", "ModTime": "", "IsDir": True}


def written(items: list[Any]) -> bytes:
    """As rclone does: an item a line."""
    return b"[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items).encode() + b"\n]\n"


def test_hashes_are_read_and_folders_passed_over() -> None:
    items = [
        folder("album"),
        file("album/a.jpg", md5=MD5, sha1=SHA1, sha256=SHA256, quickxor="AAAA"),
        file(" é ", **{"MD5": OTHER_MD5.upper(), "SHA-1": ""}),
        file("old", **{"SHA-1": SHA1}),
    ]
    taken = read(written(items))
    assert taken.rows == [
        Row(2, {"md5": MD5, "sha1": SHA1, "sha256": SHA256}, name=b"album/a.jpg"),
        Row(3, {"md5": OTHER_MD5}, name=" é ".encode()),
        Row(4, {"sha1": SHA1}, name=b"old"),
    ]
    assert not taken.rejects
    assert taken.not_checkable == 0


def test_files_without_a_usable_hash_are_counted() -> None:
    bare = file("b")
    del bare["Hashes"]
    items = [file("a", crc32="01020304"), bare, folder("c"), file("d", md5=""), file("e", md5=None), file("f")]
    taken = read(written(items))
    assert (taken.rows, taken.rejects, taken.not_checkable) == ([], [], 5)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (file("a", md5=MD5[1:]), "md5: expected 32 hexadecimal digits, got 31"),
        (file("a", sha1=7), "Hashes.sha1: expected a string, got int"),
        (file("a") | {"Hashes": [MD5]}, "Hashes: expected an object, got list"),
        (file("a", md5=MD5) | {"Path": 1}, "Path: expected a string, got int"),
        ("x", "not a JSON object"),
    ],
)
def test_each_bad_item_is_rejected_with_its_reason_and_its_neighbours_are_taken(bad: Any, reason: str) -> None:
    good = file("g", md5=MD5)
    taken = read(written([good, folder("d"), bad, file("n"), good]))
    assert [row.line for row in taken.rows] == [1, 5]
    assert [reject.line for reject in taken.rejects] == [3]
    assert taken.rejects[0].reason.startswith(reason)
    assert json.loads(taken.rejects[0].text) == bad
    assert taken.not_checkable == 1


def test_the_remote_controls_answer_is_read() -> None:
    taken = read(json.dumps({"list": [file("a", md5=MD5)]}, indent="\t").encode())
    assert taken.rows == [Row(1, {"md5": MD5}, name=b"a")]


@given(st.lists(st.sampled_from(["file", "folder", "bare", "bad"]), min_size=1, max_size=30))
def test_every_item_ends_in_one_place(kinds: list[str]) -> None:
    makers = {"file": file("a", md5=MD5), "folder": folder("a"), "bare": file("a"), "bad": file("a", md5="x")}
    taken = read(written([makers[kind] for kind in kinds]))
    assert [row.line for row in taken.rows] == [at for at, kind in enumerate(kinds, 1) if kind == "file"]
    assert [reject.line for reject in taken.rejects] == [at for at, kind in enumerate(kinds, 1) if kind == "bad"]
    assert taken.not_checkable == kinds.count("bare")
