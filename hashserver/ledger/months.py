"""Months of the calendar as numbers: whole months since January 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def month_of(ms: int) -> int:
    """The month that a time (Unix milliseconds) is in."""
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return (when.year - 1970) * 12 + when.month - 1


def start_of(month: int) -> int:
    """The first moment of a month, Unix milliseconds."""
    return int(datetime(1970 + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000


def name_of(month: int) -> str:
    """Such as 2020-03."""
    return f"{1970 + month // 12:04}-{month % 12 + 1:02}"
