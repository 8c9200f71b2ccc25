"""Sums of counts, beside plain ones over the same rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver.ledger import Ledger
from hashserver.ledger.tables.counts import (
    CountRow,
    CountSums,
    add_counts,
    checked_by_party_and_day,
    counts_by_day,
    counts_by_day_and_type,
    counts_by_party,
    counts_by_type,
    counts_of_all_parties,
    counts_of_all_types,
    sum_counts,
)

SMALL = st.integers(0, 9)
ROWS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 2), st.sampled_from(["md5", "pdq"]), SMALL, SMALL, SMALL, SMALL),
    max_size=30,
)


def summed(rows: list[CountRow], key: slice | int) -> dict[object, CountSums]:
    sums: dict[object, CountSums] = {}
    for row in rows:
        before = sums.get(row[key], CountSums())
        sums[row[key]] = CountSums(*(one + other for one, other in zip(before, row[3:], strict=True)))
    return sums


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 100), st.integers(0, 100), st.sampled_from([None, 1]))
def test_sums_are_those_of_the_rows_added(rows: list[CountRow], first: int, more: int, party: int | None) -> None:
    hours = range(first, first + more)
    inside = [row for row in rows if row[0] in hours and party in (None, row[1])]
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), create=True) as ledger:
        with ledger.transaction() as connection:
            add_counts(connection, rows[:10])
        with ledger.transaction() as connection:
            add_counts(connection, rows[10:])
        total = summed([(0, 0, "", *row[3:]) for row in inside], 0).get(0, CountSums())
        assert sum_counts(connection, hours, party) == total
        assert counts_by_party(connection, hours, party) == summed(inside, 1)
        assert counts_by_type(connection, hours, party) == summed(inside, 2)
        days = [(row[0] // 24, *row[1:]) for row in inside]
        assert counts_by_day(connection, hours, party) == summed(days, 0)
        assert counts_of_all_parties(connection) == summed(rows, 1)
        assert counts_of_all_types(connection) == summed(rows, 2)
        own = [(row[0] // 24, row[1], row[2], *row[3:]) for row in rows if row[1] == 1 and row[0] in hours]
        expected = {(day, name): sums for (day, _, name), sums in summed(own, slice(0, 3)).items()}
        assert counts_by_day_and_type(connection, hours, 1) == [
            (*key, sums) for key, sums in sorted(expected.items())
        ]
        checked: dict[int, dict[int, int]] = {}
        for hour, who, _, _, count, *_ in rows:
            if hour < 48 and count:
                of_party = checked.setdefault(who, {})
                of_party[hour // 24] = of_party.get(hour // 24, 0) + count
        assert checked_by_party_and_day(connection, 2) == checked


def test_a_day_has_the_hours_from_its_midnight_to_the_next(tmp_path: Path) -> None:
    day = 20_000
    with Ledger(tmp_path, create=True) as ledger, ledger.transaction() as connection:
        add_counts(
            connection,
            [
                (24 * day + hour, party, hash_type, 1, 10, 1, 3)
                for hour, party, hash_type in (
                    (-1, 1, "md5"),
                    (0, 1, "md5"),
                    (23, 1, "pdq"),
                    (12, 2, "md5"),
                    (24, 2, "md5"),
                )
            ],
        )
        sums = counts_by_party(connection, range(24 * day, 24 * day + 24))
    assert {party: one.checked + one.invalid for party, one in sums.items()} == {1: 26, 2: 13}
