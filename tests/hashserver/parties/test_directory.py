"""Who is let in: by which key, how written, until when."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashserver.ledger import Ledger, LedgerError
from hashserver.parties import LOCAL, Directory
from hashserver.parties.admin import PartyAdmin
from hashserver.parties.directory import NotAuthenticated, NotPermitted, require
from hashserver.parties.keys import new_key

NAME = "Exämple Hosting"


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[PartyAdmin]:
    with Ledger(tmp_path, create=True) as ledger:
        yield PartyAdmin(ledger, "user test")


@pytest.fixture
def key(admin: PartyAdmin) -> str:
    return admin.add(NAME, max_rate=5.0, daily_quota=7, sets=["police"])


@pytest.fixture
def directory(key: str, tmp_path: Path) -> Iterator[Directory]:
    opened = Directory(tmp_path)
    yield opened
    opened.close()


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def name_of(directory: Directory, authorization: str | None) -> str | None:
    try:
        return directory.authenticate(authorization).name
    except NotAuthenticated:
        return None


def test_without_parties_whoever_asks_is_this_machine_until_there_is_one(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        directory = Directory(tmp_path)
        assert directory.is_open
        assert directory.authenticate(None) is LOCAL
        admin = PartyAdmin(ledger, "user test")
        admin.add("first")
        assert directory.refresh()
        assert not directory.is_open
        assert name_of(directory, None) is None
        admin.set_disabled("first", True)
        assert directory.refresh()
        assert not directory.is_open, "a party that is disabled does not open the server to all"
        assert not directory.refresh()
        directory.close()


def test_parties_that_are_gone_open_nothing(admin: PartyAdmin, directory: Directory, key: str) -> None:
    """No party is ever deleted, so their ledger was lost or put back."""
    with admin._ledger.transaction() as connection:
        connection.execute("DELETE FROM keys")
        connection.execute("DELETE FROM parties")
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'parties_version'")
    with pytest.raises(LedgerError, match="has lost its parties"):
        directory.refresh()
    assert not directory.is_open
    assert name_of(directory, f"Bearer {key}") == NAME


@pytest.mark.parametrize("name", [NAME.encode(), NAME.encode("latin-1"), "Exa\u0308mple Hosting".encode()])
def test_a_name_in_basic_may_be_utf_8_or_latin_1(directory: Directory, key: str, name: bytes) -> None:
    header = "Basic " + base64.b64encode(name + b":" + key.encode()).decode()
    assert name_of(directory, header) == NAME
    other = "Basic " + base64.b64encode(b"x" + name + b":" + key.encode()).decode()
    assert name_of(directory, other) is None


def test_bearer_and_basic_are_let_in(directory: Directory, key: str) -> None:
    for written in (f"Bearer {key}", f"bearer  {key} ", basic(f"{NAME}:{key}"), basic(f"{NAME.upper()}:{key}")):
        assert name_of(directory, written) == NAME
    party = directory.authenticate(f"Bearer {key}")
    assert (party.max_rate, party.daily_quota, party.sets) == (5.0, 7, frozenset({"police"}))


@pytest.mark.parametrize(
    "written",
    [
        *("", "Bearer", "Bearer ", "Basic", "Basic !", "Basic é", "Basic /w==", "Digest x", "KEY", "Bearer é"),
        *("Bearer " + "x" * 100_000, "Basic " + "QUFB" * 50_000, f"Bearer {new_key()}"),
    ],
    ids=lambda written: written[:10],
)
def test_anything_else_is_refused(directory: Directory, written: str) -> None:
    assert name_of(directory, written) is None


def test_a_key_is_good_for_its_whole_self_and_its_own_party_only(directory: Directory, key: str) -> None:
    for other in (key[:-1], key + "A", key.swapcase(), f"{key} x"):
        assert name_of(directory, f"Bearer {other}") is None
    for text in (f"Other:{key}", f":{key}", f"{NAME}:", f"{NAME}", f"{NAME}:{key}:", f"{key}:{NAME}"):
        assert name_of(directory, basic(text)) is None


@given(st.text(st.characters(max_codepoint=255), max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_is_an_error_of_ours(directory: Directory, header: str) -> None:
    for written in (header, f"Basic {header}", f"Bearer {header}", basic(header)):
        assert name_of(directory, written) is None


def test_two_keys_are_good_while_one_replaces_the_other(
    admin: PartyAdmin, directory: Directory, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = admin.rotate_key(NAME, overlap_seconds=100)
    assert directory.refresh()
    old, young = directory.find_key(key), directory.find_key(new)
    assert old is not None
    assert young is not None
    assert old.party == young.party
    later = time.time() + 101
    monkeypatch.setattr("hashserver.parties.directory.time.time", lambda: later)
    assert directory.find_key(key) is None, "it expires by itself, with nothing read again"
    assert directory.find_key(new) is not None


def test_removed_keys_and_disabled_parties_are_let_in_no_longer(
    admin: PartyAdmin, directory: Directory, key: str
) -> None:
    admin.set_disabled(NAME, True)
    directory.refresh()
    assert directory.find_key(key) is None
    admin.set_disabled(NAME, False)
    directory.refresh()
    assert directory.find_key(key) is not None
    admin.remove_key(NAME, admin.show(NAME).keys[0].number)
    directory.refresh()
    assert directory.find_key(key) is None


def test_permissions(admin: PartyAdmin, directory: Directory, key: str) -> None:
    require(directory.authenticate(f"Bearer {key}"), "check")
    with pytest.raises(NotPermitted, match="has no permission to report"):
        require(directory.authenticate(f"Bearer {key}"), "report")
    admin.change(NAME, allow=["admin"])
    directory.refresh()
    require(directory.authenticate(f"Bearer {key}"), "report")


def test_neither_key_nor_secret_is_in_the_ledger(admin: PartyAdmin, key: str, tmp_path: Path) -> None:
    secret = (tmp_path / "key-secret").read_bytes()
    for file in tmp_path.iterdir():
        assert key.encode() not in file.read_bytes()
        assert file.name == "key-secret" or secret not in file.read_bytes()
