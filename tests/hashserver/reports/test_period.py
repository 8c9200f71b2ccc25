from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.reports.period import BadPeriod, Period, read_first_day, read_last_day
from hashserver.times import month_of, name_of_month, start_of_month

days = st.dates(date(1970, 1, 1), date(2100, 1, 1))


@given(days, days)
def test_months_are_the_period_cut_at_their_first_days(one: date, other: date) -> None:
    if one == other:
        return
    period = Period(min(one, other), max(one, other))
    parts = period.by_month()
    assert parts[0][1].start == period.start
    assert parts[-1][1].end == period.end
    for (_, left), (_, right) in pairwise(parts):
        assert left.end == right.start
        assert right.start.day == 1
    assert [name for name, _ in parts] == [part.start.strftime("%Y-%m") for _, part in parts]
    assert len(period.months) == len(parts)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_months_are_counted_from_1970(when: datetime) -> None:
    ms = int(when.replace(tzinfo=UTC).timestamp() * 1000)
    month = month_of(ms)
    assert name_of_month(month) == when.strftime("%Y-%m")
    assert start_of_month(month) <= ms < start_of_month(month + 1)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2020", date(2020, 1, 1), date(2020, 12, 31)),
        ("2020-02", date(2020, 2, 1), date(2020, 2, 29)),
        ("2020-12", date(2020, 12, 1), date(2020, 12, 31)),
        ("2020-03-17", date(2020, 3, 17), date(2020, 3, 17)),
    ],
)
def test_what_is_named_is_included_from_its_first_day_to_its_last(text: str, first: date, last: date) -> None:
    assert (read_first_day(text), read_last_day(text)) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "March", "2020-13", "2020-02-30", "01-03-2020", "2020-03-01-01", "9999", "9999-12", "0001-01-01x"]
)
def test_what_is_no_day_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadPeriod, match="is not a day such as 2020-03-01"):
        read_first_day(text)


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(BadPeriod, match="ends on 2020-02-29, before it begins on 2020-03-01"):
        Period(date(2020, 3, 1), date(2020, 3, 1))
