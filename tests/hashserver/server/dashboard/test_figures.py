"""Figures beside an obvious model over the same rows."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hashserver.ledger import Ledger
from hashserver.parties.admin import PartyAdmin
from hashserver.server.dashboard.figures import DAYS, MONTHS, read_figures, read_live, read_parties

NOW = int(datetime(2026, 3, 17, 10, 20, tzinfo=UTC).timestamp() * 1000)
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Ledger, list[Any], list[Any]]:
    pick = random.Random(7)
    ledger = Ledger(tmp_path, create=True)
    counts, hits = {}, {}
    for _ in range(3000):
        hour = NOW // HOUR - pick.randrange(24 * 500)
        counts[hour, pick.choice((1, 2)), pick.choice(("md5", "pdq"))] = (
            pick.randrange(10_000),
            pick.randrange(20),
        )
    for _ in range(800):
        key = (
            NOW // DAY - pick.randrange(60),
            pick.choice((1, 2)),
            pick.choice("ab"),
            pick.choice(("", "c")),
            "md5",
            0,
        )
        hits[key] = (pick.randrange(9), 10)
    with ledger.transaction() as connection:
        for key, (checked, hit) in counts.items():
            connection.execute("INSERT INTO counts VALUES (?, ?, ?, 1, ?, ?, 0)", (*key, checked, hit))
        for key, sums in hits.items():
            connection.execute("INSERT INTO hit_days VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*key, *sums))
    return ledger, list(counts.items()), list(hits.items())


@pytest.mark.parametrize("party", [None, 2])
def test_sums_by_day_month_type_set_and_category(
    rows: tuple[Ledger, list[Any], list[Any]], party: int | None
) -> None:
    ledger, counts, hits = rows
    found = read_figures(ledger.connection, party, NOW)
    own = [(key, value) for key, value in counts if party in (None, key[1])]

    def total(holds: Any) -> tuple[int, int]:
        chosen = [value for key, value in own if holds(datetime.fromtimestamp(key[0] * 3600, UTC), key)]
        return sum(value[0] for value in chosen), sum(value[1] for value in chosen)

    assert len(found.days) == DAYS
    assert len(found.months) == MONTHS
    assert (found.days[-1].name, found.months[-1].name, found.months[0].name) == (
        "2026-03-17",
        "2026-03",
        "2025-04",
    )
    for day in found.days:
        assert (day.checked, day.hits) == total(lambda when, _: when.date().isoformat() == day.name)  # noqa: B023
    for month in found.months:
        assert (month.checked, month.hits) == total(lambda when, _: f"{when:%Y-%m}" == month.name)  # noqa: B023
    first = found.days[0].name
    for hash_type in found.types:
        expected = total(lambda when, key: when.date().isoformat() >= first and key[2] == hash_type.name)  # noqa: B023
        assert (hash_type.checked, hash_type.hits) == expected
    for place, lines in ((2, found.sets), (3, found.categories)):
        assert {line.name: line.hits for line in lines} == {
            name: sum(
                value[0]
                for key, value in hits
                if key[place] == name and key[0] > NOW // DAY - DAYS and party in (None, key[1])
            )
            for name in {key[place] for key, _ in hits}
        }
    assert (found.hour.checked, found.hour_seconds) == (total(lambda _, key: key[0] == NOW // HOUR)[0], 1200)


def test_two_looks_at_the_totals_give_what_was_checked_between(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        before = read_live(ledger.connection, 1)
        with ledger.transaction() as connection:
            for party in (1, 2):
                row = (int(time.time()) // 3600, party)
                connection.execute("INSERT INTO counts VALUES (?, ?, 'md5', 1, 500, 2, 0)", row)
        after = read_live(ledger.connection, 1)
        assert (after.checked - before.checked, after.hits - before.hits) == (500, 2)
        assert read_live(ledger.connection, None).checked == 1000


def test_parties_are_listed_with_their_month_and_their_last_check(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        admin = PartyAdmin(ledger, "test")
        for name in ("a", "b", "gone"):
            admin.add(name, daily_quota=1000)
        admin.set_disabled("gone", True)
        with ledger.transaction() as connection:
            for hour, checked in ((NOW // HOUR - 1, 7), (NOW // HOUR - 24, 20), (NOW // HOUR - 24 * 20, 100)):
                connection.execute("INSERT INTO counts VALUES (?, 1, 'md5', 1, ?, 1, 0)", (hour, checked))
        a, b, gone = read_parties(ledger.connection, NOW)
    assert (a.name, a.month.checked, a.month.hits, a.today) == ("a", 27, 2, 7)
    assert a.last_seen == (NOW // HOUR - 1) * HOUR
    assert (b.month.checked, b.last_seen, b.daily_quota, b.permissions) == (0, None, 1000, ["check", "feedback"])
    assert (gone.disabled, b.disabled) == (True, False)
