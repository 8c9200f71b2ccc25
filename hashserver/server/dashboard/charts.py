"""Bar charts as the templates draw them: SVG from the server, which needs no script and prints well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600.0, 120.0
_GAP = 0.2


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in a box of WIDTH by HEIGHT, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart.

    Args:
        title: what is shown.
        bars: left to right; the last one is still growing.
        top: value at the top of the box.
    """

    title: str
    bars: list[Bar]
    top: int


def bar_chart(title: str, names: Sequence[str], values: Sequence[int]) -> Chart:
    """Bars of some values, none of them negative."""
    top = round_up(max(values, default=0))
    step = WIDTH / max(1, len(values))
    bars = []
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        height = value / top * HEIGHT
        if value:
            height = max(height, 1.0)  # something is never drawn as nothing
        x = (place + _GAP / 2) * step
        bars.append(
            Bar(round(x, 2), round(HEIGHT - height, 2), round(step * (1 - _GAP), 2), round(height, 2), name, value)
        )
    return Chart(title, bars, top)


def round_up(value: int) -> int:
    """The least of 1, 2, 2.5, 5, 10, 20, 25... that is not below a value, for an axis."""
    if value <= 1:
        return 1
    unit: int = 10 ** (len(str(value)) - 1)
    for tenths in (10, 20, 25, 50):
        if unit * tenths >= value * 10 and unit * tenths % 10 == 0:
            return unit * tenths // 10
    return unit * 10


def share(value: float, of: float) -> float:
    """A part in percent, 0 to 100."""
    return round(100 * value / of, 2) if of else 0.0
