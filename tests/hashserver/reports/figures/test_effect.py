"""The estimate against simulated reports, of which the effect is known."""

from __future__ import annotations

import numpy as np
import pytest

from hashserver.reports.figures.effect import estimate_effect, student
from hashserver.reports.figures.panel import NEVER, BadReports, Panel

CONNECTED, OTHERS, MONTHS = 20, 25, 18


def simulate(seed: int, effect: float, *, trend: float = 0.0, late: float | None = None) -> Panel:
    """Reports of providers that connect one after the other.

    Args:
        seed: of chance.
        effect: factor on the URLs of a provider from its connection on.
        trend: growth a month of the connected ones alone.
        late: the factor of those that connect in the later half; None: `effect`.
    """
    random = np.random.default_rng(seed)
    size = CONNECTED + OTHERS
    connected = np.concatenate([random.integers(5, 15, CONNECTED), np.full(OTHERS, NEVER)])
    level = random.lognormal(3, 0.8, size)[:, None] * random.lognormal(0, 0.3, MONTHS)
    month = np.arange(MONTHS)
    factor = np.where(connected < 10, effect, effect if late is None else late)[:, None]
    after = month >= connected[:, None]
    mean = level * np.where(after, factor, 1) * np.where(connected[:, None] < NEVER, np.exp(trend * month), 1)
    urls = random.poisson(mean * random.gamma(5, 1 / 5, mean.shape)).astype(float)
    names = [f"provider {number}" for number in range(size)]
    return Panel(names, [f"{number}" for number in range(MONTHS)], urls, connected, [])


@pytest.mark.parametrize("truth", [0.6, 1.0])
def test_the_known_effect_is_found_and_the_interval_holds_it(truth: float) -> None:
    found = [estimate_effect(simulate(seed, truth), draws=200).estimate for seed in range(200)]
    logs = np.log([one.ratio for one in found])
    assert abs(logs.mean() - np.log(truth)) < 3 * logs.std() / np.sqrt(len(logs))
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.91 <= covered <= 0.985
    widths = np.array([np.log(one.high / one.low) for one in found])
    assert widths.mean() / (2 * 1.96) == pytest.approx(logs.std(), rel=0.2)  # neither too wide nor too narrow


def test_providers_may_differ_in_what_connecting_changes() -> None:
    """Where a regression with one coefficient compares with earlier ones, and goes wrong."""
    panel = simulate(3, 0.4, late=0.9)
    found = estimate_effect(panel, draws=200)
    month = np.arange(MONTHS)
    after = month > panel.connected[:, None]
    factor = np.where(panel.connected < 10, 0.4, 0.9)[:, None]
    expected = (panel.urls * after).sum() / ((panel.urls / factor) * after).sum()
    assert found.estimate.ratio == pytest.approx(expected, rel=0.1)


def test_without_chance_the_estimate_is_the_effect_itself() -> None:
    random = np.random.default_rng(1)
    connected = np.array([3, 5, 7, NEVER, NEVER, NEVER])
    level = random.uniform(10, 100, 6)[:, None] * random.uniform(0.5, 2, 10)
    after = np.arange(10) >= connected[:, None]
    panel = Panel(list("abcdef"), list("0123456789"), level * np.where(after, 0.7, 1), connected, ["g"])
    found = estimate_effect(panel, draws=50)
    assert found.estimate.ratio == pytest.approx(0.7)
    assert (found.estimate.low, found.estimate.high) == (pytest.approx(0.7), pytest.approx(0.7))
    assert found.placebo is not None
    assert found.placebo.ratio == pytest.approx(1)
    assert found.reported / found.expected == pytest.approx(0.7)
    for one in found.relative:
        assert one.estimate.ratio == pytest.approx(1 if one.month < 0 else 0.7)
    assert found.few
    assert found.unreported == ["g"]


def test_means_are_of_the_cells_before_and_after() -> None:
    urls = np.array([[8.0, 6, 9, 2, 4], [10, 10, 10, 5, 5], [4, 4, 4, 4, 4], [2, 4, 6, 8, 10]])
    panel = Panel(list("abcd"), list("12345"), urls, np.array([2, 2, NEVER, NEVER]), [])
    found = estimate_effect(panel, draws=20)
    assert (found.connected.before, found.connected.after) == ((8 + 6 + 10 + 10) / 4, (2 + 4 + 5 + 5) / 4)
    assert (found.unconnected.before, found.unconnected.after) == ((3 + 4) / 2, (6 + 7) / 2)


def test_groups_that_went_apart_before_are_seen_by_the_placebo() -> None:
    placebo = estimate_effect(simulate(5, 0.6, trend=0.12), draws=200).placebo
    assert placebo is not None
    assert placebo.low > 1


def test_providers_that_cannot_be_compared_are_named() -> None:
    panel = simulate(7, 0.6)
    panel.connected[0] = -4  # connected before the first report
    panel.connected[1] = MONTHS + 3  # connects after the last one
    panel.urls[2, : panel.connected[2]] = 0
    found = estimate_effect(panel, draws=20)
    assert found.left_out == ["provider 0", "provider 1", "provider 2"]
    assert found.connected.providers == CONNECTED - 3


def test_too_few_providers_are_refused_in_words() -> None:
    panel = Panel(["a", "b"], ["1", "2", "3"], np.ones((2, 3)), np.array([1, NEVER]), [])
    with pytest.raises(BadReports, match="1 connected and 1 unconnected providers can be compared"):
        estimate_effect(panel)


def test_students_t_is_that_of_the_tables() -> None:
    tables = {2: 4.303, 5: 2.571, 10: 2.228, 30: 2.042, 1000: 1.962}
    for freedom, value in tables.items():
        assert student(freedom) == pytest.approx(value, rel=0.01)


def test_equal_reports_give_equal_intervals() -> None:
    first, second = (estimate_effect(simulate(9, 0.6), draws=100) for _ in range(2))
    assert first.estimate == second.estimate
