"""Keys and the secret under which their digests are made."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hashserver.parties.keys import SECRET_FILE, SecretError, digest_of, new_key, read_secret


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith("hs_") and len(key) == 46 and key.isascii() for key in keys)


def test_a_digest_tells_nothing_without_the_secret() -> None:
    key = new_key()
    assert digest_of(b"one" * 10, key) == digest_of(b"one" * 10, key)
    assert digest_of(b"one" * 10, key) != digest_of(b"two" * 10, key)
    assert digest_of(b"one" * 10, key) != digest_of(b"one" * 10, key + "x")
    assert len(digest_of(b"", "\udcff not text")) == 32


def test_the_secret_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    secret = read_secret(tmp_path)
    assert len(secret) == 32
    assert read_secret(tmp_path) == secret
    assert (tmp_path / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [SECRET_FILE]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_secret_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(SecretError, match="key-secret is damaged; restore it"):
        read_secret(tmp_path)


def _tell_secret(folder: Path, told: multiprocessing.SimpleQueue[bytes]) -> None:
    told.put(read_secret(folder))


def test_processes_that_start_at_once_end_with_one_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(10):
        folder = tmp_path / str(turn)
        folder.mkdir()
        told = context.SimpleQueue()
        processes = [context.Process(target=_tell_secret, args=(folder, told)) for _ in range(4)]
        for process in processes:
            process.start()
        assert len({told.get() for _ in processes}) == 1
        for process in processes:
            process.join()
