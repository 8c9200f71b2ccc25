"""Durations, rates and counts as people write them: 15m, 50M, 5,000,000/s."""

from __future__ import annotations

import re

import typer

from hashserver.times import DAY_SECONDS, HOUR_SECONDS

_SECONDS = {"s": 1, "m": 60, "h": HOUR_SECONDS, "d": DAY_SECONDS}
_TIMES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MOST = 1 << 62
"""Larger numbers are mistakes, and not every place that they go to could hold them."""


def read_duration(text: str, option: str) -> float:
    """Seconds of a duration such as 30s, 15m, 6h or 30d.

    Args:
        text: to read.
        option: that it was given to, for the error.

    Raises:
        BadParameter: it is not a duration.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text, re.ASCII)
    if found is not None and (seconds := float(found[1]) * _SECONDS[found[2]]) <= _MOST:
        return seconds
    raise typer.BadParameter(f"{text!r} is not a duration such as 30s, 15m, 6h or 30d", param_hint=option)


def read_rate(text: str, option: str, example: str) -> float:
    """A number per second, more than 0, such as 5000000, 5M/s or 50MB.

    Args:
        text: to read; k, M, G and T multiply by powers of a thousand.
        option: that it was given to, for the error.
        example: of a good one, for the error.

    Raises:
        BadParameter: it is not a rate.
    """
    parts = _parts(text.removesuffix("/s").removesuffix("B"))
    if parts is not None and 0 < (rate := float(parts[0]) * parts[1]) <= _MOST:
        return rate
    raise typer.BadParameter(f"{text!r} is not a rate such as {example}", param_hint=option)


def read_count(text: str, option: str, example: str) -> int:
    """A whole number, more than 0, such as 2000000000 or 2G.

    Args:
        text: to read; k, M, G and T multiply by powers of a thousand.
        option: that it was given to, for the error.
        example: of a good one, for the error.

    Raises:
        BadParameter: it is not a count.
    """
    parts = _parts(text)
    if parts is not None and parts[0].isdigit() and 0 < (count := int(parts[0]) * parts[1]) <= _MOST:
        return count
    raise typer.BadParameter(f"{text!r} is not a whole number such as {example}", param_hint=option)


def _parts(text: str) -> tuple[str, int] | None:
    """The digits of a number without separators, and what they are multiplied by."""
    found = re.fullmatch(r"(\d[\d,_]{0,30}(?:\.\d{1,30})?)([kMGT]?)", text, re.ASCII)
    return None if found is None else (re.sub("[,_]", "", found[1]), _TIMES[found[2]])
