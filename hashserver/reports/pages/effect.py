"""The report of what connecting changed, as a page."""

from __future__ import annotations

from hashserver.reports.charts import Series, lines, rows
from hashserver.reports.figures.effect import DRAWS, Effect, Estimate
from hashserver.reports.pages.numbers import Numbers
from hashserver.reports.pages.pages import fill
from hashserver.reports.pages.words import words_for


def render(effect: Effect, months: list[str], language: str) -> str:
    """The report as one HTML file.

    Args:
        effect: what was found.
        months: of the reports, such as 2020-03.
        language: nl or en.
    """
    words, numbers = words_for(language), Numbers(language)
    signed = [f"{one.month:+d}" if one.month else "0" for one in effect.relative]
    event = signed.index("0") if "0" in signed else None
    means = (effect.connected, effect.unconnected)
    groups = [words["g_connected"], words["g_unconnected"]]
    reported = Series(words["reported"], [one.reported for one in effect.relative], 2)
    expected = Series(words["expected"], [one.expected for one in effect.relative], 1)
    ratio = Series(words["ratio"], [one.estimate.ratio for one in effect.relative], 2)
    # A month that tells nothing in most draws has no bounds, and a picture has to draw something.
    low = [_or(one.estimate.low, one.estimate.ratio) for one in effect.relative]
    high = [_or(one.estimate.high, one.estimate.ratio) for one in effect.relative]
    compared = rows(
        "c_compare",
        words["c_compare"],
        _described(groups, [numbers.decimal(one.before) + " → " + numbers.decimal(one.after) for one in means]),
        [f"{name}, {when}" for name in groups for when in (words["before_it"], words["after_it"])],
        [Series(words["reported"], [value for one in means for value in (one.before, one.after)], 1)],
        numbers.short,
        numbers.decimal,
    )
    around = lines(
        "c_reported",
        words["c_reported"],
        _described(
            signed, [f"{numbers.decimal(r.reported)} / {numbers.decimal(r.expected)}" for r in effect.relative]
        ),
        signed,
        [reported, expected],
        numbers.short,
        event=event,
    )
    shares = lines(
        "c_ratio",
        words["c_ratio"],
        _described(signed, [numbers.percent(one.estimate.ratio, places=0) for one in effect.relative]),
        signed,
        [ratio],
        lambda level: numbers.percent(level, places=0),
        band=(low, high),
        event=event,
    )
    return fill(
        "effect.html",
        language,
        e=effect,
        months=months,
        signed=signed,
        change=lambda value: change(value, numbers),
        sure=is_sure(effect.estimate),
        charts={"compared": compared, "around": around, "shares": shares},
        draws=DRAWS,
    )


def change(ratio: float, numbers: Numbers) -> str:
    """A ratio as a change, such as −35 %."""
    text = numbers.percent(abs(ratio - 1), places=0)
    return ("−" if ratio < 1 else "+") + text if ratio == ratio else numbers.decimal(None)


def is_sure(estimate: Estimate) -> bool:
    """Whether the interval leaves no effect out."""
    return estimate.high < 1 or estimate.low > 1


def _or(value: float, otherwise: float) -> float:
    return value if value == value else otherwise


def _described(names: list[str], values: list[str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
