from __future__ import annotations

from datetime import date
from pathlib import Path

import generate_year
import numpy as np
import pytest

from hashserver.ledger import Ledger
from hashserver.ledger.tables.counts import first_hours
from hashserver.reports.figures import Period, measure
from hashserver.reports.figures.phases import bulk_days, phases_by_month


def test_the_first_check_of_a_storage_is_told_from_what_is_steady() -> None:
    steady = np.full(200, 100)
    assert bulk_days(np.concatenate([np.full(12, 5000), steady])) == 12


def test_a_pause_within_the_bulk_check_does_not_end_it() -> None:
    assert bulk_days(np.concatenate([[5000, 0, 0, 5000], np.full(100, 100)])) == 4


def test_who_begins_without_a_bulk_check_has_none() -> None:
    assert bulk_days(np.full(100, 100)) == 0


def test_a_peak_after_the_first_months_is_steady() -> None:
    checked = np.full(300, 100)
    checked[150] = 90_000
    assert bulk_days(checked) == 0


def test_who_has_only_begun_is_in_bulk() -> None:
    assert bulk_days(np.full(27, 100)) == 27


def test_bulk_and_steady_of_the_generated_year_are_as_it_was_made(tmp_path: Path) -> None:
    random = np.random.default_rng(2020)
    joined = generate_year.joining_days(random, 366)
    checked, bulk = generate_year.draw_checks(random, 366, joined, int(generate_year.CHECKS * 0.001))
    truth = int(checked[bulk].sum())
    generate_year.generate(tmp_path / "year", scale=0.001)
    with Ledger(tmp_path / "year", read_only=True) as ledger:
        year = Period.of_year(2020)
        months = phases_by_month(ledger.connection, year)
        usage = measure(ledger.connection, year)
        march = phases_by_month(ledger.connection, Period(date(2020, 3, 1), date(2020, 4, 1)))
        assert len(first_hours(ledger.connection)) == 26
    for month, line in zip(months, usage.months, strict=True):
        assert month.bulk.checked + month.steady.checked == line.checked
        assert month.bulk.hits + month.steady.hits == line.hits
    assert sum(month.bulk.checked for month in months) == pytest.approx(truth, rel=0.03)
    assert sum(month.joined for month in months) == months[-1].parties == 26
    assert march[0].parties == months[2].parties
