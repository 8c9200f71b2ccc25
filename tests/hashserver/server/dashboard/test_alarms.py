"""What is worth an alarm."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hashcore.disk.layout import HashSet, Manifest
from hashserver.ledger import Ledger
from hashserver.ledger.tables.audit import write_audit
from hashserver.parties import Party
from hashserver.parties.admin import PartyAdmin
from hashserver.server.dashboard.alarms import Alarm, Complaint, alarms_of_owner, alarms_of_party, read_complaints
from hashserver.server.dashboard.figures import Count, PartyRow

NOW = 1_800_000_000_000
DAY = 86_400_000
POLICE = HashSet("police", "match", [1], {"md5": 1000}, 1000, NOW / 1000 - 3600, 10, 5)
ROW = PartyRow(1, "host", NOW - 90 * DAY, False, ["check"], None, 1000, Count("month"), 10, NOW - DAY)


def owner(tmp_path: Path, **changed: Any) -> list[Alarm]:
    police = changed.pop("police", POLICE)
    given: dict[str, Any] = {
        "trouble": None,
        "backlog": 0,
        "manifest": Manifest(3, NOW / 1000, "load police", {"police": police}),
        "parties": [ROW],
        "complaints": [],
        "folder": tmp_path,
        "now_ms": NOW,
    }
    return alarms_of_owner(**{**given, **changed})


@pytest.fixture(autouse=True)
def _roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=10**12, used=0, free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_a_server_that_does_its_work_raises_none(tmp_path: Path) -> None:
    assert owner(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "is_trouble", "title"),
    [
        ({"trouble": "no room"}, True, "Checks that match are being refused"),
        ({"backlog": 200_000}, False, "The figures are behind"),
        ({"manifest": Manifest(0, 0.0, "empty")}, True, "Nothing can match"),
        ({"police": replace(POLICE, loaded=NOW / 1000 - 9 * 86_400)}, False, "No set has changed for 9 days"),
        ({"police": replace(POLICE, added=0, removed=500)}, True, "Set police shrank by 33%"),
        ({"police": replace(POLICE, added=600, removed=0)}, False, "Set police grew by 150%"),
        ({"parties": [replace(ROW, last_seen=NOW - 8 * DAY)]}, False, "host has checked nothing for 8 days"),
        ({"parties": [replace(ROW, last_seen=None)]}, False, "host has checked nothing for 90 days"),
        ({"complaints": [Complaint("host", "police", "A-1")]}, False, "1 match is reported as false"),
    ],
)
def test_what_needs_attention_is_said(tmp_path: Path, changed: Any, is_trouble: bool, title: str) -> None:
    assert [(alarm.is_trouble, alarm.title) for alarm in owner(tmp_path, **changed)] == [(is_trouble, title)]


@pytest.mark.parametrize(
    "changed",
    [
        {"police": replace(POLICE, added=1000, removed=0)},  # its first load
        {"police": replace(POLICE, entries=60, added=0, removed=39)},  # a small one
        {"parties": [replace(ROW, last_seen=None, disabled=True)]},
        {"parties": [replace(ROW, last_seen=None, permissions=["report"])]},
        {"parties": [replace(ROW, last_seen=None, created=NOW - DAY)]},
    ],
)
def test_what_is_as_it_should_be_is_not(tmp_path: Path, changed: Any) -> None:
    assert owner(tmp_path, **changed) == []


def test_a_full_disk_comes_before_what_can_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**12, used=0, free=10**9))
    assert [alarm.title for alarm in owner(tmp_path, backlog=200_000)] == [
        "The disk is almost full",
        "The figures are behind",
    ]


def test_a_party_learns_of_its_quota_and_of_a_key_that_ends() -> None:
    party = Party(1, "host", frozenset({"check"}))
    assert alarms_of_party(party, ROW, None, NOW) == []
    titles = [alarm.title for alarm in alarms_of_party(party, replace(ROW, today=950), NOW / 1000 + 60, NOW)]
    assert titles == ["The daily quota is almost used up", "The key that you signed in with expires soon"]


def test_a_complaint_waits_until_its_entry_is_withdrawn_or_quarantined(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        PartyAdmin(ledger, "test").add("host")
        with ledger.transaction() as connection:
            for id, verdict in (
                ("A", "false-positive"),
                ("B", "false-positive"),
                ("C", "confirmed"),
                ("D", "false-positive"),
            ):
                row = (NOW, 1, "police", id, verdict, "")
                connection.execute(
                    "INSERT INTO feedback (time, party, set_name, external_id, verdict, note) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    row,
                )
            for action, subject, after in (
                ("sets withdraw", "police", {"ids": ["A"]}),
                ("sets quarantine", "quarantine", {"of": "police", "ids": ["B"]}),
                ("sets withdraw", "interpol", {"ids": ["D"]}),
            ):
                write_audit(connection, who="user", action=action, subject=subject, before=None, after=after)
        # Lines of the audit log bear the present time.
        later = max(NOW, _audit_time(ledger))
        with ledger.transaction() as connection:
            connection.execute("UPDATE feedback SET time = ?", (_audit_time(ledger) - 1,))
        assert read_complaints(ledger.connection, later) == [Complaint("host", "police", "D")]
        with ledger.transaction() as connection:
            connection.execute("UPDATE feedback SET time = ?", (_audit_time(ledger) + 1,))
        assert len(read_complaints(ledger.connection, later)) == 3


def _audit_time(ledger: Ledger) -> int:
    return int(ledger.connection.execute("SELECT max(time) FROM audit").fetchone()[0])
