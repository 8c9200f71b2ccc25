"""Every publication has a line in the audit log, even if the process that made it was killed."""

from __future__ import annotations

import signal
import sqlite3
import sys
from pathlib import Path
from subprocess import run as run_process

import pytest
from serving import environment, load, md5_of, run, serving

from hashserver.ledger import Ledger
from hashserver.ledger.tables.audit import AuditLine, newest_lines

KILLED = """
import os, signal, sys
from hashserver.ledger import publications
publications._entries_before = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from hashserver.cli import main
main()
"""


def lines(data: Path) -> list[AuditLine]:
    """The audit log, oldest first."""
    with Ledger(data, read_only=True) as ledger:
        return newest_lines(ledger.connection, 100)[::-1]


def load_and_die(data: Path, text: str) -> None:
    """Load a hash, and be killed between publishing and writing the line."""
    arguments = ["load", "-", "--set", "police", "--append", "--data-dir", str(data)]
    done = run_process(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=data.parent,
        input=f"{md5_of(text)}\n".encode(),
        env=environment(),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    load(folder, "police", f"md5,id\n{md5_of('a')},A-1\n{md5_of('b')},A-2\n")
    return folder


def test_every_command_that_publishes_is_audited(data: Path) -> None:
    load(data, "police", f"md5,id\n{md5_of('a')},A-1\n{md5_of('b')},A-2\n")  # changes nothing
    for command in (
        ("withdraw", "police", "A-1"),
        ("quarantine", "police", "A-2"),
        ("remove", "police"),
        ("rollback", "--to", "1"),
    ):
        assert run("sets", *command, "--data-dir", data, cwd=data.parent).code == 0
    found = lines(data)
    assert [(line.action, line.subject) for line in found] == [
        ("load", "police"),
        ("sets withdraw", "police"),
        ("sets quarantine", "quarantine"),
        ("sets remove", "police"),
        ("sets rollback", "to generation 1"),
    ]
    assert all(line.who.startswith("user ") for line in found)
    assert [(line.before["generation"], line.after["generation"]) for line in found] == [
        (number, number + 1) for number in range(5)
    ]
    assert [(line.before["entries"], line.after["entries"]) for line in found] == [
        (0, 2),
        (2, 1),
        (0, 1),
        (1, 0),
        (1, 2),
    ]
    assert found[1].after["ids"] == ["A-1"]
    assert md5_of("a") not in str(found)


def test_what_a_killed_load_published_is_found_by_the_next_change(data: Path) -> None:
    load_and_die(data, "c")
    load_and_die(data, "d")
    assert [line.after["generation"] for line in lines(data)] == [1]
    load(data, "police", f"{md5_of('e')}\n", "--append")
    assert [(line.after["generation"], line.who.split()[0], line.after["entries"]) for line in lines(data)] == [
        (1, "user", 2),
        (2, "unknown", 3),
        (3, "unknown", 4),
        (4, "user", 5),
    ]


def test_what_a_killed_load_published_is_found_by_a_server_that_starts(data: Path) -> None:
    load_and_die(data, "c")
    with serving(data, workers=2):
        found = lines(data)
        assert [line.after["generation"] for line in found] == [1, 2]
        assert (found[1].who, found[1].after["action"]) == ("unknown (found later)", "load police")


def test_a_change_that_cannot_be_audited_says_so_and_is_found_later(data: Path) -> None:
    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        ledger.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
    ran = run("sets", "remove", "police", "--data-dir", data, cwd=data.parent)
    assert ran.code == 3
    assert "generation 2 is published, but the audit log has no line for it" in ran.err
    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        ledger.execute("DROP TRIGGER full")
    load(data, "police", f"{md5_of('e')}\n")
    assert [line.who.split()[0] for line in lines(data)] == ["user", "unknown", "user"]
