"""Times: Unix milliseconds, and whole hours, days and months since 1970, all UTC."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOUR_SECONDS, DAY_SECONDS = 3600, 86_400

_EPOCH = date(1970, 1, 1)


def now_ms() -> int:
    """The current time, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def today() -> date:
    """The current day, UTC."""
    return datetime.now(UTC).date()


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - _EPOCH).days


def date_of_day(number: int) -> date:
    """The date of a number of days since 1970."""
    return _EPOCH + timedelta(days=number)


def month_number(day: date) -> int:
    """Whole months since January 1970."""
    return (day.year - 1970) * 12 + day.month - 1


def month_of(ms: int) -> int:
    """The month that a time (Unix milliseconds) is in."""
    return month_number(datetime.fromtimestamp(ms / 1000, UTC).date())


def first_day_of_month(month: int) -> date:
    """The date on which a month, counted since January 1970, begins."""
    return date(1970 + month // 12, month % 12 + 1, 1)


def start_of_month(month: int) -> int:
    """The first moment of a month, Unix milliseconds."""
    return day_number(first_day_of_month(month)) * DAY_MS


def name_of_month(month: int) -> str:
    """The name of a month, such as 2020-03."""
    return f"{first_day_of_month(month):%Y-%m}"
