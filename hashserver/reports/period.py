"""Periods of whole days, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from hashserver.errors import BadInput
from hashserver.times import (
    DAY_MS,
    day_number,
    first_day_of_month,
    month_number,
    name_of_month,
    today,
)

MOST_DAYS = 3660


class BadPeriod(BadInput, ValueError):
    """A period that cannot be read or is empty; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of one day to the beginning of another.

    Args:
        start: first day.
        end: the day after its last day. People name the last day instead, see `including`.

    Raises:
        BadPeriod: it would be empty.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise BadPeriod(f"the period ends on {self.last}, before it begins on {self.start}")

    @classmethod
    def including(cls, first: date, last: date) -> Period:
        """From one day to another, both included.

        Raises:
            BadPeriod: the last day is before the first, or is the last that a calendar has.
        """
        if last == date.max:
            raise BadPeriod(f"{last} is too far in the future; name an earlier day")
        return cls(first, last + timedelta(days=1))

    @classmethod
    def of_year(cls, year: int) -> Period:
        """A calendar year.

        Raises:
            BadPeriod: it is before 1970 or after 9998.
        """
        if not 1970 <= year < 9999:
            raise BadPeriod(f"{year} is not a year that can be reported on; name one such as 2020")
        return cls(date(year, 1, 1), date(year + 1, 1, 1))

    @property
    def last(self) -> date:
        """Its last day, as people name it."""
        return self.end - timedelta(days=1)

    @property
    def days(self) -> range:
        """As `hit_days.day` counts them."""
        return range(day_number(self.start), day_number(self.end))

    @property
    def hours(self) -> range:
        """As `counts.hour` counts them."""
        return range(self.days.start * 24, self.days.stop * 24)

    @property
    def months(self) -> range:
        """As `sightings.month` counts them, including those that are in it in part."""
        return range(month_number(self.start), month_number(self.last) + 1)

    @property
    def start_ms(self) -> int:
        """Its first moment, Unix milliseconds."""
        return self.days.start * DAY_MS

    @property
    def end_ms(self) -> int:
        """The moment after it, Unix milliseconds."""
        return self.days.stop * DAY_MS

    @property
    def is_whole_months(self) -> bool:
        """Whether it begins and ends with a month."""
        return self.start.day == 1 and self.end.day == 1

    def by_month(self) -> list[tuple[str, Period]]:
        """Its months, by name; the first and last one may be in it in part."""
        parts = []
        for month in self.months:
            start = max(self.start, first_day_of_month(month))
            end = min(self.end, first_day_of_month(month + 1))
            parts.append((name_of_month(month), Period(start, end)))
        return parts


def period_of(first: date | None, last: date | None) -> Period:
    """The days that a party asks for, both ends included.

    Without a last day it ends today, and without a first day it begins with the month of the last.

    Raises:
        BadPeriod: it ends before it begins, or is longer than ten years.
    """
    last = last or max(today(), first or today())
    period = Period.including(first or last.replace(day=1), last)
    if len(period.days) > MOST_DAYS:
        raise BadPeriod(f"the period is longer than {MOST_DAYS:,} days; ask for parts of it")
    return period


def read_first_day(text: str) -> date:
    """The first day of `2020-03-01`, of a month such as `2020-03`, or of a year such as `2020`.

    Raises:
        BadPeriod: it is none of these.
    """
    return _read(text).start


def read_last_day(text: str) -> date:
    """The last day of `2020-03-01`, of a month such as `2020-03`, or of a year such as `2020`.

    Raises:
        BadPeriod: it is none of these.
    """
    return _read(text).last


def _read(text: str) -> Period:
    parts = text.split("-")
    try:
        first = date.fromisoformat("-".join([*parts, "01", "01"][:3]) if len(parts) < 3 else text)
        if len(parts) == 1:
            return Period.of_year(first.year)
        if len(parts) == 2:
            return Period(first, first_day_of_month(month_number(first) + 1))
        return Period.including(first, first)
    except (ValueError, OverflowError):
        raise BadPeriod(f"{text!r} is not a day such as 2020-03-01, nor a month such as 2020-03") from None
