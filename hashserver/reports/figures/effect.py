"""What connecting changed: a difference in differences of reported URLs, with its uncertainty.

Expected URLs of provider i in month t are a_i * g_t, as Poisson regression with two-way fixed
effects has it, fitted only where nobody was connected yet: all months of the unconnected providers,
and those before its connection of each connected one. The months after it are then predicted, and
what was reported is divided by the prediction. Imputing so is sound where providers connect at
different times and differ in how much it changes, where a regression with a single coefficient is
not (Borusyak, Jaravel, Spiess: Revisiting Event-Study Designs, Review of Economic Studies 91,
2024). The month of connection itself is left out.

Uncertainty is that of providers: they are drawn again with replacement, connected and unconnected
ones apart, and all is fitted anew (a cluster bootstrap); that covers counts that vary more than
Poisson's and months that depend on each other. A few large providers carry most of the URLs, so
there are fewer independent ones than are counted: the interval is that of Student's t for the
effective number of them (Carter, Schnepel, Steigerwald: Asymptotic Behavior of a t-Test Robust to
Cluster Heterogeneity, Review of Economics and Statistics 99, 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashserver.reports.figures.panel import NEVER, BadReports, Panel

DRAWS, SEED = 2000, 2020
_NORMAL = 1.959964  # 97.5 % of the standard normal distribution
_ROUNDS, _PRECISION = 2000, 1e-10
_LEAST = 2
_FEW = 10
_PLACEBO_MONTHS = 3
_Floats = NDArray[np.float64]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Reported over expected URLs, with its 95 % interval; 1 is no effect, 0.7 is 30 % less."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Means:
    """Mean reported URLs per provider and month, before and after connecting, of some providers."""

    providers: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """After to before."""
        return self.after / self.before if self.before else float("nan")


@dataclass(frozen=True, slots=True)
class Relative:
    """The connected providers, some months from their connection (negative: before it).

    Args:
        month: 0 is the month of connection.
        providers: that have such a month in the reports.
        reported, expected: URLs per provider, the latter as if nobody had connected.
        estimate: of one to the other. Before the connection expectations are fitted to what was
            reported, so that only a trend would show.
    """

    month: int
    providers: int
    reported: float
    expected: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Effect:
    """What connecting changed.

    Args:
        estimate: of the reported URLs of connected providers to those expected.
        reported, expected: URLs of the connected providers after connecting.
        connected: their means.
        unconnected: means of the others, in the same months, weighted as the connected ones'.
        placebo: the same estimate for the three months before connecting, as if they had connected
            then: far from 1, it says that the two groups went apart before; None if there is too
                little before.
        relative: month by month from the connection.
        left_out: connected providers that cannot be compared: not reported before, or not observed
            after.
        unreported: parties that no report names.
        few: whether one group is so small that the interval is likely to be too narrow.
    """

    estimate: Estimate
    reported: float
    expected: float
    connected: Means
    unconnected: Means
    placebo: Estimate | None
    relative: list[Relative]
    left_out: list[str]
    unreported: list[str]
    few: bool


@dataclass(frozen=True, slots=True)
class _Cells:
    """What is compared: float64[n, t] URLs, and which cells are before (or never) and after."""

    urls: _Floats
    before: _Mask
    after: _Mask


def estimate_effect(panel: Panel, *, draws: int = DRAWS, seed: int = SEED) -> Effect:
    """Compare connected with unconnected providers.

    Args:
        panel: of reports.
        draws: of the bootstrap.
        seed: of the bootstrap; equal reports give equal intervals.

    Raises:
        BadReports: fewer than two connected, or two unconnected, providers can be compared.
    """
    month = np.arange(panel.urls.shape[1])
    before, after = month < panel.connected[:, None], month > panel.connected[:, None]
    treated = panel.connected != NEVER
    usable = ~treated | ((panel.urls * before).sum(1) > 0) & after.any(1)
    left_out = [name for name, good in zip(panel.providers, usable, strict=True) if not good]
    cells = _Cells(panel.urls[usable], before[usable], after[usable])
    treated, connected = treated[usable], panel.connected[usable]
    _check_enough(int(treated.sum()), int((~treated).sum()))
    weights = _draws(treated, draws, seed)
    expected = _expected(cells, weights)
    ratios = _ratios(cells, weights, expected)
    counts = (cells.urls * cells.after).sum(), (expected[0] * cells.after).sum()
    return Effect(
        _estimate(cells, ratios, expected),
        float(counts[0]),
        float(counts[1]),
        *_means(cells, treated),
        _placebo(cells, treated, connected, weights),
        _relative(cells, treated, connected, weights, expected),
        left_out,
        panel.unreported,
        min(int(treated.sum()), int((~treated).sum())) < _FEW,
    )


def _check_enough(connected: int, unconnected: int) -> None:
    if connected < _LEAST or unconnected < _LEAST:
        raise BadReports(
            f"{connected} connected and {unconnected} unconnected providers can be compared, and "
            f"{_LEAST} of each are needed; give reports of other providers as well, and of months before and "
            "after providers connected (under the names of the parties)"
        )


def _draws(treated: _Mask, draws: int, seed: int) -> _Floats:
    """float64[1 + draws, n]: how often each provider counts; in the first row, once each."""
    random = np.random.default_rng(seed)
    weights = np.ones((draws + 1, len(treated)))
    for group in (np.flatnonzero(treated), np.flatnonzero(~treated)):
        weights[1:, group] = random.multinomial(len(group), np.full(len(group), 1 / len(group)), size=draws)
    return weights


def _expected(cells: _Cells, weights: _Floats) -> _Floats:
    """float64[b, n, t]: what each fit expects of every provider and month; NaN if unknown."""
    seen = cells.before.astype(np.float64)
    by_provider = (cells.urls * seen).sum(1)
    by_month = weights @ (cells.urls * seen)
    months = np.ones_like(by_month)
    # Alternating scaling of rows and columns: the maximum of the Poisson likelihood (Deming and
    # Stephan 1940).
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_ROUNDS):
            providers = np.nan_to_num(by_provider / (months @ seen.T), nan=0.0, posinf=0.0)
            scaled = by_month / ((weights * providers) @ seen)
            known = np.isfinite(scaled)
            scaled = np.where(known, scaled, 0.0)
            scaled /= scaled.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
            moved = np.abs(scaled - months).max()
            months = scaled
            if moved < _PRECISION:
                break
        providers = np.nan_to_num(by_provider / (months @ seen.T), nan=0.0, posinf=0.0)
    return np.asarray(providers[:, :, None] * np.where(known, months, np.nan)[:, None, :])


def _ratios(cells: _Cells, weights: _Floats, expected: _Floats) -> _Floats:
    """float64[b]: reported to expected URLs after connecting."""
    told = cells.after & np.isfinite(expected)
    reported = np.einsum("bi,it,bit->b", weights, cells.urls, told)
    foreseen = np.einsum("bi,bit->b", weights, np.where(told, expected, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(reported / foreseen)


def _estimate(cells: _Cells, ratios: _Floats, expected: _Floats) -> Estimate:
    """The ratio of the first fit, with an interval from the spread of the others' logarithms."""
    with np.errstate(divide="ignore"):
        drawn = np.log(ratios[1:][ratios[1:] > 0])
    if len(drawn) < _LEAST or not ratios[0] > 0:
        return Estimate(float(ratios[0]), float("nan"), float("nan"))
    after = np.where(cells.after & np.isfinite(expected[0]), expected[0], 0.0).sum(1)
    others = np.where(cells.after.any(1), 0.0, (cells.urls * cells.before).sum(1))
    count = max(float(_LEAST), min(_effective(after), _effective(others)))
    margin = student(count - 1) * np.sqrt(count / (count - 1)) * drawn.std()
    low, high = ratios[0] * np.exp(-margin), ratios[0] * np.exp(margin)
    return Estimate(float(ratios[0]), float(low), float(high))


def _effective(sizes: _Floats) -> float:
    """How many equal providers would scatter as much as these; all of them if they are equal."""
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.any() else 0.0


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, good from 2 degrees of freedom on.

    By the expansion in Abramowitz and Stegun, 26.7.5.
    """
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _means(cells: _Cells, treated: _Mask) -> tuple[Means, Means]:
    before, after = cells.before & treated[:, None], cells.after
    connected = Means(int(treated.sum()), float(cells.urls[before].mean()), float(cells.urls[after].mean()))
    by_month = cells.urls[~treated].mean(0)
    others = [float((by_month * mask.sum(0)).sum() / mask.sum()) for mask in (before, after)]
    return connected, Means(int((~treated).sum()), *others)


def _placebo(cells: _Cells, treated: _Mask, connected: NDArray[np.int64], weights: _Floats) -> Estimate | None:
    """Take the last months before connecting for months after it."""
    month = np.arange(cells.urls.shape[1])
    moved = np.where(treated, connected - _PLACEBO_MONTHS, NEVER)[:, None]
    before, after = month < moved, (month >= moved) & (month < connected[:, None])
    usable = ~treated | ((cells.urls * before).sum(1) > 0)
    if (treated & usable).sum() < _LEAST:
        return None
    shifted = _Cells(cells.urls[usable], before[usable], after[usable])
    expected = _expected(shifted, weights[:, usable])
    ratios = _ratios(shifted, weights[:, usable], expected)
    return _estimate(shifted, ratios, expected) if np.isfinite(ratios[0]) else None


def _relative(
    cells: _Cells, treated: _Mask, connected: NDArray[np.int64], weights: _Floats, expected: _Floats
) -> list[Relative]:
    """Month by month from the connection, if at least half of the providers have such a month."""
    distance = np.where(treated[:, None], np.arange(cells.urls.shape[1]) - connected[:, None], NEVER)
    rows = []
    for month in np.unique(distance[treated]).tolist():
        here = (distance == month) & np.isfinite(expected[0])
        providers = int(here.sum())
        if providers * 2 < treated.sum():
            continue
        chosen = _Cells(cells.urls, cells.before, here)
        ratios = _ratios(chosen, weights, expected)
        means = float(cells.urls[here].mean()), float(expected[0][here].mean())
        rows.append(Relative(month, providers, *means, _estimate(chosen, ratios, expected)))
    return rows
