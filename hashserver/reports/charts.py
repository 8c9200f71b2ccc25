"""Geometry of charts, of reports and of the dashboard; templates draw it as SVG.

All coordinates are in units of a picture that is WIDTH wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 480.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 6.0, 10.0, 24.0
ROW = 22.0
STRIP_HEIGHT = 120.0
_NAMES = 150.0
_GAP = 0.2


@dataclass(frozen=True, slots=True)
class Series:
    """Values to be drawn in one colour.

    Args:
        label: for the legend.
        values: one a column or row, at least 0.
        colour: 1 to 4, of the page's palette.
    """

    label: str
    values: Sequence[float]
    colour: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """A bar, and what a pointer over it says."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    hint: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A text at a place, `at` along the axis that it belongs to."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, with the band around it, as SVG's `points`."""

    points: str
    band: str
    colour: int
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What a template needs to draw.

    Args:
        identity: unique in its page.
        title, description: also for those who cannot see it.
        height: of the picture; its width is WIDTH.
        boxes: bars.
        ticks: labels of the axis of values, and where its lines are.
        names: labels of columns or rows.
        legend: series, if there are several.
        across: whether bars lie, so that the lines of the axis stand.
        curves: lines.
        vertical: where to draw a line from top to bottom, or None.
    """

    identity: str
    title: str
    description: str
    height: float
    boxes: list[Box]
    ticks: list[Mark]
    names: list[Mark]
    legend: list[Series]
    across: bool = False
    curves: list[Curve] = field(default_factory=list)
    vertical: float | None = None


Format = Callable[[float], str]


def nice_ticks(most: float, count: int = 4) -> list[float]:
    """Round numbers from 0 to `most` or just above: steps of 1, 2 or 5 times a power of ten."""
    if not most > 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(most / count))
    step *= next(factor for factor in (1, 2, 5, 10) if most <= step * factor * count * (1 + 1e-9))
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def columns(
    identity: str,
    title: str,
    description: str,
    names: Sequence[str],
    series: Sequence[Series],
    short: Format,
    full: Format,
) -> Chart:
    """Standing bars, series on top of each other.

    Args:
        identity, title, description: see `Chart`.
        names: of the columns.
        series: with a value a column each.
        short, full: write a value on the axis, and for a pointer.
    """
    sums = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    levels = nice_ticks(max(sums, default=0))
    height, step = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / max(1, len(names))
    scale = height / levels[-1]
    boxes = []
    for place, name in enumerate(names):
        base = HEIGHT - BOTTOM
        for one in series:
            tall = one.values[place] * scale
            base -= tall
            hint = f"{name}: {full(one.values[place])} {one.label}"
            boxes.append(Box(LEFT + step * (place + 0.14), base, step * 0.72, tall, one.colour, hint))
    ticks = [Mark(LEFT, HEIGHT - BOTTOM - level * scale, short(level)) for level in levels]
    marks = [Mark(LEFT + step * (place + 0.5), HEIGHT - 8, name) for place, name in enumerate(names)]
    return Chart(
        identity, title, description, HEIGHT, boxes, ticks, marks, list(series) if len(series) > 1 else []
    )


def rows(
    identity: str,
    title: str,
    description: str,
    names: Sequence[str],
    series: Sequence[Series],
    short: Format,
    full: Format,
) -> Chart:
    """Lying bars, series behind each other; see `columns`."""
    sums = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    levels = nice_ticks(max(sums, default=0))
    height = TOP + ROW * len(names) + BOTTOM
    scale = (WIDTH - _NAMES - 24) / levels[-1]
    boxes = []
    for place, name in enumerate(names):
        start = _NAMES
        for one in series:
            long = one.values[place] * scale
            hint = f"{name}: {full(one.values[place])} {one.label}"
            boxes.append(Box(start, TOP + ROW * (place + 0.14), long, ROW * 0.72, one.colour, hint))
            start += long
    ticks = [Mark(_NAMES + level * scale, height - 8, short(level)) for level in levels]
    marks = [Mark(_NAMES - 6, TOP + ROW * (place + 0.66), _cut(name)) for place, name in enumerate(names)]
    legend = list(series) if len(series) > 1 else []
    return Chart(identity, title, description, height, boxes, ticks, marks, legend, across=True)


def strip(title: str, names: Sequence[str], values: Sequence[int], short: Format) -> Chart:
    """Standing bars alone, in a low picture that may be stretched; labels go beside it.

    Args:
        title: what is shown.
        names: of the bars, at least one, left to right.
        values: one per bar, at least 0.
        short: writes a value on the axis.

    Returns:
        A chart with the top of the axis as its only tick, and the first, middle and last name.
    """
    top = nice_ticks(max(values))[-1]
    step = WIDTH / len(values)
    boxes = []
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        tall = max(value / top * STRIP_HEIGHT, 1.0) if value else 0.0  # something is never drawn as nothing
        x, y = step * (place + _GAP / 2), STRIP_HEIGHT - tall
        width = step * (1 - _GAP)
        boxes.append(Box(round(x, 2), round(y, 2), round(width, 2), round(tall, 2), 1, f"{name}: {value:,}"))
    shown = (0, len(names) // 2, len(names) - 1)
    marks = [Mark(step * (place + 0.5), STRIP_HEIGHT, names[place]) for place in shown]
    return Chart(title, title, "", STRIP_HEIGHT, boxes, [Mark(0.0, 0.0, short(top))], marks, [])


def share(value: float, of: float) -> float:
    """A part in percent, 0 to 100; of nothing it is 0."""
    return round(100 * value / of, 2) if of else 0.0


def lines(
    identity: str,
    title: str,
    description: str,
    names: Sequence[str],
    series: Sequence[Series],
    short: Format,
    *,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    event: int | None = None,
) -> Chart:
    """Lines over columns.

    Args:
        identity, title, description, names, series, short: see `columns`.
        band: lower and upper bounds around the first series.
        event: the column to mark with a line from top to bottom.
    """
    highest = [value for one in series for value in one.values] + list(band[1] if band else ())
    levels = nice_ticks(max(highest, default=0))
    scale, step = (HEIGHT - TOP - BOTTOM) / levels[-1], (WIDTH - LEFT - RIGHT) / max(1, len(names))
    middle = [LEFT + step * (place + 0.5) for place in range(len(names))]

    def points(values: Sequence[float]) -> list[str]:
        return [f"{x:.1f},{HEIGHT - BOTTOM - value * scale:.1f}" for x, value in zip(middle, values, strict=True)]

    curves = []
    for place, one in enumerate(series):
        around = [*points(band[0]), *reversed(points(band[1]))] if band and place == 0 else []
        curves.append(Curve(" ".join(points(one.values)), " ".join(around), one.colour, one.label))
    ticks = [Mark(LEFT, HEIGHT - BOTTOM - level * scale, short(level)) for level in levels]
    marks = [Mark(x, HEIGHT - 8, name) for x, name in zip(middle, names, strict=True)]
    vertical = None if event is None else middle[event]
    legend = list(series) if len(series) > 1 else []
    return Chart(identity, title, description, HEIGHT, [], ticks, marks, legend, curves=curves, vertical=vertical)


def _cut(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
