"""Objects that change or vanish between the listing and the reading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buckets import Storage, storing

from hashserver.provider.scanning.objects import StorageError, _client, list_objects, read_object
from hashserver.provider.scanning.walk import WalkOptions


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    _client.cache_clear()
    with storing() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
    _client.cache_clear()


def test_an_object_that_vanishes_after_the_listing_says_so(storage: Storage) -> None:
    storage.fill("bucket", {"a": b"1", "b": b"2"})
    a, b = list_objects(b"s3://bucket/", WalkOptions(), False)
    storage.client.delete_object(Bucket="bucket", Key="a")
    with pytest.raises(StorageError, match="it was deleted after it was listed"):
        list(read_object(a.path, False))
    assert list(read_object(b.path, False)) == [b"2"]


def test_private_objects_are_denied_to_those_without_credentials(storage: Storage) -> None:
    storage.fill("bucket", {"a": b"1"})
    with pytest.raises(StorageError, match="access denied"):
        list(read_object(b"s3://bucket/a", True))


def test_another_content_of_the_same_size_is_another_number(storage: Storage) -> None:
    storage.fill("bucket", {"a": b"1"})
    (before,) = list_objects(b"s3://bucket/a", WalkOptions(), False)
    storage.fill("bucket", {"a": b"2"})
    (after,) = list_objects(b"s3://bucket/a", WalkOptions(), False)
    assert before.size == after.size
    assert before.inode != after.inode


def test_large_objects_arrive_in_pieces(storage: Storage) -> None:
    content = bytes(range(256)) * (3 << 12) + b"end"
    storage.fill("bucket", {"large": content})
    pieces = list(read_object(b"s3://bucket/large", False))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1 << 20
