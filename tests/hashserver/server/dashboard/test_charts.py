"""Geometry of the bar charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashserver.server.dashboard.charts import HEIGHT, WIDTH, bar_chart, round_up, share


@given(st.integers(0, 10**18))
def test_the_axis_ends_at_a_round_number_not_far_above(value: int) -> None:
    top = round_up(value)
    assert top >= max(1, value)
    assert top <= 2.5 * max(1, value)
    assert str(top).rstrip("0") in ("1", "2", "25", "5")


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_bars_stay_in_their_box_side_by_side(values: list[int]) -> None:
    chart = bar_chart("t", [str(place) for place in range(len(values))], values)
    end = 0.0
    for bar, value in zip(chart.bars, values, strict=True):
        assert end <= bar.x
        end = bar.x + bar.width
        assert end <= WIDTH + 0.02
        assert (bar.height > 0) == (value > 0)
        assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)
        assert bar.height == pytest.approx(max(min(value, 1), value / chart.top * HEIGHT), abs=1)


def test_no_share_of_nothing() -> None:
    assert share(0, 0) == 0
    assert share(1, 3) == 33.33
