"""What is older than wanted goes, what is summed up stays, and a ledger's damage is found."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.ledger.retention import SLICE, ClockDoubtful, Deleted, apply_retention
from hashserver.ledger.verify import verify_ledger
from hashserver.times import DAY_MS

DAY = 20_000
HOURS = 24


def fill(folder: Path, days: int, a_day: int) -> None:
    """Hits on the days before DAY, every second one with two matches, and counts of every hour."""
    with Ledger(folder, create=True) as ledger:
        for day in range(DAY - days, DAY):
            rows = []
            for n in range(a_day):
                time = day * DAY_MS + n
                rows.append((time, 1, f"r{n}", 3, "md5", 0, 0, "police", f"id:{n}", str(n), "a", 0))
                if n % 2:
                    rows.append((time, 1, f"r{n}", 3, "md5", 0, 1, "other", f"id:{n}", str(n), None, 0))
            with ledger.transaction() as connection:
                connection.execute(
                    "INSERT INTO inbox (matches, hits) VALUES (?, ?)", (len(rows), json.dumps(rows))
                )
                counts = [(day * HOURS + hour, 1, "md5", 1, 100, 1, 0) for hour in range(HOURS)]
                connection.executemany("INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)", counts)


def ask(folder: Path, query: str) -> list[tuple[object, ...]]:
    with Ledger(folder, create=True) as ledger:
        return ledger.connection.execute(query).fetchall()


def problems_of(folder: Path) -> list[str]:
    problems: list[str] = []
    verify_ledger(folder, problems.append)
    return [problem.removeprefix(f"{folder / 'ledger.sqlite'}: ") for problem in problems]


def test_old_hits_and_counts_go_and_their_sums_stay(tmp_path: Path) -> None:
    fill(tmp_path, 10, SLICE // 2)
    now = DAY * DAY_MS
    sums = "SELECT sum(hits), sum(matches) FROM hit_days", "SELECT sum(matches) FROM sightings"
    deleted = apply_retention(tmp_path, keep_hits_days=4, keep_counts_days=7, now=now)
    assert deleted == Deleted(6 * (SLICE // 2 + SLICE // 4), 3 * HOURS)
    assert ask(tmp_path, "SELECT min(time), count(*) FROM matches") == [((DAY - 4) * DAY_MS, 4 * 1500)]
    assert ask(tmp_path, "SELECT min(hour), count(*) FROM counts") == [((DAY - 7) * HOURS, 7 * HOURS)]
    assert ask(tmp_path, sums[0]) == [(10 * 1000, 10 * 1500)]
    assert ask(tmp_path, sums[1]) == [(10 * 1500,)]
    ((who, action, after),) = ask(tmp_path, "SELECT who, action, after FROM audit")
    assert (who, action) == ("retention", "retention")
    assert json.loads(str(after))["hits"] == deleted.hits
    assert apply_retention(tmp_path, keep_hits_days=4, keep_counts_days=7, now=now) == Deleted()
    assert len(ask(tmp_path, "SELECT 1 FROM audit")) == 1, "no line for a run that deleted nothing"
    assert problems_of(tmp_path) == [], "sums agree as far back as nothing was deleted"


def test_without_settings_everything_is_kept_and_one_alone_touches_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path, 3, 10)
    now = DAY * DAY_MS
    assert apply_retention(tmp_path, keep_hits_days=None, keep_counts_days=None, now=now) == Deleted()
    assert apply_retention(tmp_path, keep_hits_days=None, keep_counts_days=1, now=now) == Deleted(0, 2 * HOURS)
    assert apply_retention(tmp_path, keep_hits_days=1, keep_counts_days=None, now=now) == Deleted(2 * 15, 0)


def test_several_workers_at_once_delete_every_row_once(tmp_path: Path) -> None:
    fill(tmp_path, 4, SLICE)
    found: list[Deleted] = []

    def work() -> None:
        found.append(apply_retention(tmp_path, keep_hits_days=1, keep_counts_days=1, now=DAY * DAY_MS))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.hits for each in found) == 3 * (SLICE + SLICE // 2)
    assert len(ask(tmp_path, "SELECT 1 FROM audit")) == 1


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM matches WHERE id = 3", "1 sums of hit_days do not agree with the rows of matches"),
        (
            "UPDATE sightings SET matches = 9 WHERE entry = 1",
            "1 sums of sightings do not agree with the rows of matches",
        ),
        ("UPDATE counts SET checked = -1", "48 rows of counts are negative"),
        ("DELETE FROM entries WHERE id = 1", "rows of matches refer to an entry that does not exist"),
        ("INSERT INTO inbox (matches, hits) VALUES (2, '[1]')", "says that it has 2 matches, and has 1"),
        ("INSERT INTO inbox (matches, hits) VALUES (2, '[')", "cannot be read"),
        (
            "INSERT INTO keys (party, digest, created) VALUES (9, x'00', 1)",
            "of keys refers to a row of parties that",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, statement: str, told: str) -> None:
    fill(tmp_path, 2, 10)
    with Ledger(tmp_path, create=True) as ledger:
        fold(ledger)
    assert problems_of(tmp_path) == []
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute(statement)
    problems = problems_of(tmp_path)
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    "damage", [lambda file: os.truncate(file, 20_000), lambda file: file.write_bytes(b"x" * 9999)]
)
def test_a_damaged_ledger_is_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    fill(tmp_path, 2, 10)
    with Ledger(tmp_path, create=True) as ledger:
        fold(ledger)
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(tmp_path / "ledger.sqlite")
    assert problems_of(tmp_path)


YEAR = 365 * DAY_MS


@pytest.mark.parametrize("ahead", [10 * YEAR, YEAR, 8 * DAY_MS])
def test_a_clock_that_is_ahead_deletes_nothing(tmp_path: Path, ahead: int) -> None:
    fill(tmp_path, 10, 4)
    before = ask(tmp_path, "SELECT count(*) FROM counts")
    for _ in range(2):
        with pytest.raises(ClockDoubtful, match=r"nothing was deleted: .*--trust-clock"):
            apply_retention(tmp_path, keep_hits_days=1, keep_counts_days=1, now=DAY * DAY_MS + ahead)
    assert ask(tmp_path, "SELECT count(*) FROM counts") == before
    now = DAY * DAY_MS
    assert apply_retention(tmp_path, keep_hits_days=4, keep_counts_days=4, now=now) == Deleted(36, 6 * HOURS)


def test_what_a_wrong_clock_recorded_does_not_vouch_for_it(tmp_path: Path) -> None:
    """It was ahead at one start, and requests were counted before it was set."""
    fill(tmp_path, 10, 4)
    wrong = DAY * DAY_MS + 10 * YEAR
    with Ledger(tmp_path) as ledger, ledger.transaction() as connection:
        for hour in (0, 30):
            row = (wrong // DAY_MS * HOURS + hour, 1, "md5", 1, 100, 0, 0)
            connection.execute("INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with pytest.raises(ClockDoubtful):
        apply_retention(tmp_path, keep_hits_days=1, keep_counts_days=None, now=wrong)
    assert ask(tmp_path, "SELECT count(*) FROM inbox") == [(10,)]


def test_a_clock_set_back_a_year_deletes_less_and_refuses_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 10, 4)
    now = DAY * DAY_MS - YEAR
    assert apply_retention(tmp_path, keep_hits_days=1, keep_counts_days=1, now=now) == Deleted()


def test_an_idle_server_goes_on_deleting_and_one_that_was_off_wants_to_be_told(tmp_path: Path) -> None:
    fill(tmp_path, 10, 4)
    for later in range(0, 30, 5):  # nothing is recorded meanwhile
        apply_retention(tmp_path, keep_hits_days=20, keep_counts_days=None, now=(DAY + later) * DAY_MS)
    assert ask(tmp_path, "SELECT count(*) FROM matches") == [(0,)], "all are more than 20 days old"
    later = (DAY + 60) * DAY_MS
    with pytest.raises(ClockDoubtful):
        apply_retention(tmp_path, keep_hits_days=None, keep_counts_days=1, now=later)
    trusted = apply_retention(tmp_path, keep_hits_days=None, keep_counts_days=1, now=later, trust_clock=True)
    assert trusted == Deleted(0, 10 * HOURS)
    assert apply_retention(tmp_path, keep_hits_days=None, keep_counts_days=1, now=later) == Deleted()
