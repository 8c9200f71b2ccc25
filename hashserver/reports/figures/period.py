"""Periods of whole days, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from hashserver.ledger.months import name_of

_EPOCH = date(1970, 1, 1)


class BadPeriod(ValueError):
    """It cannot be read, or ends before it begins; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of one day to the beginning of another.

    Args:
        start: first day.
        end: first day that is no longer in it.

    Raises:
        BadPeriod: it would be empty.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise BadPeriod(f"a period from {self.start} to {self.end} holds no day; name a later end")

    @classmethod
    def of_year(cls, year: int) -> Period:
        """A calendar year."""
        if not 1970 <= year < 9999:
            raise BadPeriod(f"{year} is not a year of this service; name one such as 2020")
        return cls(date(year, 1, 1), date(year + 1, 1, 1))

    @property
    def days(self) -> range:
        """As `hit_days.day` counts them."""
        return range((self.start - _EPOCH).days, (self.end - _EPOCH).days)

    @property
    def hours(self) -> range:
        """As `counts.hour` counts them."""
        return range(self.days.start * 24, self.days.stop * 24)

    @property
    def months(self) -> range:
        """As `sightings.month` counts them; those that are in it in part, too."""
        last = self.end - timedelta(days=1)
        return range(_month(self.start), _month(last) + 1)

    @property
    def start_ms(self) -> int:
        """Unix milliseconds."""
        return self.days.start * 86_400_000

    @property
    def end_ms(self) -> int:
        """Unix milliseconds."""
        return self.days.stop * 86_400_000

    @property
    def is_whole_months(self) -> bool:
        """Whether it begins and ends with a month."""
        return self.start.day == 1 and self.end.day == 1

    def by_month(self) -> list[tuple[str, Period]]:
        """Its months, by name; the first and last one may be in it in part."""
        parts = []
        for month in self.months:
            start = max(self.start, _first_of(month))
            parts.append((name_of(month), Period(start, min(self.end, _first_of(month + 1)))))
        return parts


def read_day(text: str) -> date:
    """`2020-03-01`, or `2020-03` for the first day of a month, or `2020` for that of a year.

    Raises:
        BadPeriod: it is none of these.
    """
    parts = text.split("-")
    try:
        return date.fromisoformat("-".join([*parts, "01", "01"][:3]) if len(parts) < 3 else text)
    except ValueError:
        raise BadPeriod(f"{text!r} is not a day such as 2020-03-01, nor a month such as 2020-03") from None


def _month(day: date) -> int:
    return (day.year - 1970) * 12 + day.month - 1


def _first_of(month: int) -> date:
    return date(1970 + month // 12, month % 12 + 1, 1)
