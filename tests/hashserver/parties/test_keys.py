"""Keys and the secret under which their digests are made."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
import shlex
from pathlib import Path

import pytest

from hashserver.ledger import Ledger
from hashserver.parties import Directory
from hashserver.parties.admin import PartyAdmin
from hashserver.parties.keys import SECRET_FILE, Digester, SecretError, new_key, read_secret


def secret_of(folder: Path) -> bytes:
    with Ledger(folder, create=True) as ledger:
        return read_secret(ledger)


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith("hs_") and len(key) == 46 and key.isascii() for key in keys)


def test_a_digest_tells_nothing_without_the_secret() -> None:
    key = new_key()
    assert Digester(b"one" * 10)(key) == Digester(b"one" * 10)(key)
    assert Digester(b"one" * 10)(key) != Digester(b"two" * 10)(key)
    assert Digester(b"one" * 10)(key) != Digester(b"one" * 10)(key + "x")
    assert len(Digester(b"")("\udcff not text")) == 32
    digester = Digester(b"one" * 10)
    assert [digester(each) for each in ("a", "b", "a")] == [
        hashlib.blake2b(each, key=b"one" * 10, digest_size=32).digest() for each in (b"a", b"b", b"a")
    ]


def test_the_secret_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    secret = secret_of(tmp_path)
    assert len(secret) == 32
    assert secret_of(tmp_path) == secret
    assert (tmp_path / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir() if "ledger" not in file.name] == [SECRET_FILE]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_secret_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(SecretError, match="key-secret is damaged; restore it"):
        secret_of(tmp_path)


def _tell_secret(folder: Path, told: multiprocessing.SimpleQueue[bytes]) -> None:
    told.put(secret_of(folder))


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


def test_a_lost_secret_is_not_replaced_while_keys_need_it(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        admin = PartyAdmin(ledger, "user test")
        admin.add("It's First")
        admin.add("second")
        secret = (tmp_path / SECRET_FILE).read_bytes()
        (tmp_path / SECRET_FILE).unlink()
        for _ in range(2):
            with pytest.raises(SecretError, match=r"key-secret is missing.*restore it from a backup") as refused:
                Directory(tmp_path)
            with pytest.raises(SecretError, match="is missing"):
                admin.add("third")
            assert not (tmp_path / SECRET_FILE).exists()
            command = re.search(r"hashserver (party remove-key .*?), and", str(refused.value))
            assert command, refused.value
            name, number = shlex.split(command[1])[2:]
            admin.remove_key(name, int(number))
        key = admin.rotate_key("second", overlap_seconds=0)
        assert (tmp_path / SECRET_FILE).read_bytes() != secret
        directory = Directory(tmp_path)
        found = directory.find_key(key)
        directory.close()
        assert found is not None
        assert found.party.name == "second"
        assert [each.name for each in admin.parties()] == ["It's First", "second"], (
            "what was refused left no trace"
        )


def test_keys_that_are_no_longer_good_need_no_secret(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        admin = PartyAdmin(ledger, "user test")
        admin.add("first")
        (tmp_path / SECRET_FILE).unlink()
        key = admin.rotate_key("first", overlap_seconds=0)
        directory = Directory(tmp_path)
        found = directory.find_key(key)
        directory.close()
        assert found is not None


def test_a_secret_of_another_folder_is_told_while_keys_need_ours(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        admin = PartyAdmin(ledger, "user test")
        admin.add("first")
        (tmp_path / SECRET_FILE).write_bytes(b"s" * 32)
        with pytest.raises(SecretError, match=r"is not the one that the keys were made with.*restore it"):
            Directory(tmp_path)
        with pytest.raises(SecretError, match="is not the one"):
            admin.add("second")
        admin.remove_key("first", 1)
        key = admin.rotate_key("first", overlap_seconds=0)
    directory = Directory(tmp_path)
    assert directory.authenticate(f"Bearer {key}").name == "first"
    directory.close()
