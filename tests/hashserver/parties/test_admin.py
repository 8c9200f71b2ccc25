"""Changes of parties: what is refused, and what the audit log says of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from hashserver.ledger import Ledger, LedgerError
from hashserver.parties.admin import PartyAdmin, PartyRefused, UnknownParty
from hashserver.times import now_ms


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, create=True) as opened:
        yield opened


@pytest.fixture
def admin(ledger: Ledger) -> PartyAdmin:
    return PartyAdmin(ledger, "user test")


def audit(ledger: Ledger) -> list[tuple[str, str, str, Any, Any]]:
    rows = ledger.connection.execute("SELECT who, action, subject, before, after FROM audit ORDER BY id")
    return [(*row[:3], *(None if each is None else orjson.loads(each) for each in row[3:])) for row in rows]


def version(ledger: Ledger) -> int:
    query = "SELECT value FROM meta WHERE name = 'parties_version'"
    return int(ledger.connection.execute(query).fetchone()[0])


def test_every_change_is_in_the_audit_log_with_what_it_was_before(ledger: Ledger, admin: PartyAdmin) -> None:
    began = now_ms()
    key = admin.add("Example", max_rate=5.0)
    admin.change("example", allow=["report"], deny=["feedback"], sets=["b", "a"], max_rate=None, daily_quota=9)
    new = admin.rotate_key("Example", overlap_seconds=60)
    admin.remove_key("Example", 1)
    admin.set_disabled("Example", True)
    admin.set_disabled("Example", False)
    lines = audit(ledger)
    assert {line[0] for line in lines} == {"user test"}
    assert {line[2] for line in lines} == {"Example"}
    assert [line[1] for line in lines] == [
        "party add",
        "party allow",
        "party rotate-key",
        "party remove-key",
        "party disable",
        "party enable",
    ]
    assert lines[0][3] is None
    assert lines[0][4]["max_rate"] == 5.0
    assert lines[1][3] == lines[0][4]
    assert lines[1][4] == {
        "party": "Example",
        "number": 1,
        "permissions": ["check", "report"],
        "sets": ["a", "b"],
        "max_rate": None,
        "daily_quota": 9,
        "disabled": False,
    }
    assert lines[2][3] == {"keys": [1]}
    assert lines[2][4]["keys"] == [1, 2]
    assert lines[3][3:] == ({"keys": [1, 2]}, {"removed": 1})
    assert (lines[4][3]["disabled"], lines[4][4]["disabled"]) == (False, True)
    times = [row[0] for row in ledger.connection.execute("SELECT time FROM audit ORDER BY id")]
    assert began <= times[0]
    assert times == sorted(times)
    assert version(ledger) == len(lines)
    assert not any(each in orjson.dumps(lines).decode() for each in (key, new))


def test_what_changes_nothing_is_not_in_the_log(ledger: Ledger, admin: PartyAdmin) -> None:
    admin.add("Example")
    admin.set_disabled("Example", False)
    admin.change("Example", allow=["check"])
    assert len(audit(ledger)) == 1


REFUSED: list[Callable[[PartyAdmin], object]] = [
    lambda admin: admin.add("EXAMPLE"),
    lambda admin: admin.add("with:colon"),
    lambda admin: admin.add(" "),
    lambda admin: admin.add("x" * 101),
    lambda admin: admin.add("line\nbreak"),
    lambda admin: admin.add("new", permissions=["root"]),
    lambda admin: admin.add("new", max_rate=0),
    lambda admin: admin.add("new", max_rate=float("inf")),
    lambda admin: admin.add("new", max_rate=float("nan")),
    lambda admin: admin.add("new", daily_quota=0),
    lambda admin: admin.add("new", daily_quota=1 << 63),
    lambda admin: admin.add("new", sets=[]),
    lambda admin: admin.change("Example", deny=["root"]),
    lambda admin: admin.change("Example", max_rate=-1),
    lambda admin: admin.change("Example", sets=[]),
    lambda admin: admin.rotate_key("Example", overlap_seconds=1e300),
    lambda admin: admin.rotate_key("Example", overlap_seconds=-1),
]


@pytest.mark.parametrize("change", REFUSED)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    ledger: Ledger, admin: PartyAdmin, change: Callable[[PartyAdmin], object]
) -> None:
    admin.add("Example")
    before = admin.parties(), audit(ledger), version(ledger)
    with pytest.raises(PartyRefused):
        change(admin)
    assert (admin.parties(), audit(ledger), version(ledger)) == before


def test_unknown_parties_and_keys_are_named(admin: PartyAdmin) -> None:
    with pytest.raises(UnknownParty, match="no party named 'none'; parties: none"):
        admin.show("none")
    admin.add("Example")
    with pytest.raises(UnknownParty, match="has no key 7; its keys: 1"):
        admin.remove_key("Example", 7)
    admin.remove_key("Example", 1)
    with pytest.raises(UnknownParty, match="has no key 1; its keys: none"):
        admin.remove_key("Example", 1)


def test_keys_of_other_parties_cannot_be_removed(admin: PartyAdmin) -> None:
    admin.add("one")
    admin.add("two")
    with pytest.raises(UnknownParty):
        admin.remove_key("one", 2)


def test_a_third_valid_key_has_to_wait(admin: PartyAdmin) -> None:
    admin.add("Example")
    admin.rotate_key("Example", overlap_seconds=60)
    with pytest.raises(PartyRefused, match=r"already has two valid keys, 1 and 2; .* 'Example' 1"):
        admin.rotate_key("Example", overlap_seconds=60)
    admin.remove_key("Example", 1)
    admin.rotate_key("Example", overlap_seconds=0)
    assert [key.is_valid(now_ms()) for key in admin.show("Example").keys] == [False, False, True]


def test_a_change_that_fails_in_the_middle_leaves_no_trace(
    ledger: Ledger, admin: PartyAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.connection.execute(
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(LedgerError):
        admin.add("Example")
    assert admin.parties() == []
    assert version(ledger) == 0
