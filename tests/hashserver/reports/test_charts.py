"""Geometry of charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.reports.charts import (
    HEIGHT,
    STRIP_HEIGHT,
    WIDTH,
    Series,
    columns,
    lines,
    nice_ticks,
    rows,
    share,
    strip,
)

amounts = st.integers(0, 10**12)


@given(st.floats(1e-6, 1e12))
def test_ticks_are_round_and_few_and_reach_the_greatest_value(most: float) -> None:
    ticks = nice_ticks(most)
    assert ticks[0] == 0
    assert ticks[-1] >= most * (1 - 1e-6)
    assert ticks[-2] < most
    assert 2 <= len(ticks) <= 5
    assert float(f"{ticks[1]:e}"[:8]) in (1.0, 2.0, 5.0)


def test_an_axis_of_nothing_has_ticks() -> None:
    assert nice_ticks(0) == [0, 1]


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=12))
def test_bars_are_in_proportion_on_top_of_each_other_and_inside(values: list[tuple[int, int]]) -> None:
    names = [str(place) for place in range(len(values))]
    series = [Series("a", [one for one, _ in values]), Series("b", [other for _, other in values], 2)]
    standing = columns("i", "t", "d", names, series, str, str).boxes
    lying = rows("i", "t", "d", names, series, str, str).boxes
    unit = max(standing, key=lambda box: box.height).height / max(max(max(pair) for pair in values), 1)
    for place, pair in enumerate(values):
        low, high = standing[2 * place : 2 * place + 2]
        assert low.y == pytest.approx(high.y + high.height)
        for box, value in zip((low, high), pair, strict=True):
            assert box.height == pytest.approx(value * unit, abs=1e-6)
            assert box.y >= 0
            assert box.y + box.height < HEIGHT
        left, right = lying[2 * place : 2 * place + 2]
        assert left.x + left.width == pytest.approx(right.x)
        assert right.x + right.width <= WIDTH


def test_lines_have_a_band_around_the_first_of_them_and_a_mark_at_the_event() -> None:
    chart = lines(
        "i",
        "t",
        "d",
        ["a", "b"],
        [Series("x", [1, 2]), Series("y", [2, 2], 2)],
        str,
        band=([0, 1], [2, 4]),
        event=1,
    )
    first, second = chart.curves
    assert len(first.band.split()) == 4
    assert second.band == ""
    assert chart.vertical == pytest.approx(float(first.points.split()[1].split(",")[0]), abs=0.1)


@given(st.lists(amounts, min_size=1, max_size=40))
def test_bars_of_a_strip_stay_in_their_box_side_by_side(values: list[int]) -> None:
    chart = strip("t", [str(place) for place in range(len(values))], values, str)
    top = float(chart.ticks[0].text)
    assert top >= max(values) * (1 - 1e-6)
    end = 0.0
    for box, value in zip(chart.boxes, values, strict=True):
        assert end <= box.x
        end = box.x + box.width
        assert end <= WIDTH + 0.02
        assert (box.height > 0) == (value > 0)
        assert box.y + box.height == pytest.approx(STRIP_HEIGHT, abs=0.02)
        assert box.height == pytest.approx(max(min(value, 1), value / top * STRIP_HEIGHT), abs=1)
    assert [mark.text for mark in chart.names] == ["0", str(len(values) // 2), str(len(values) - 1)]


def test_no_share_of_nothing() -> None:
    assert share(0, 0) == 0
    assert share(1, 3) == 33.33
