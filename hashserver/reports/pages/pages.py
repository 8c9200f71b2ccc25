"""Fills templates: one HTML file that needs nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hashserver.reports.pages.mark import MARK
from hashserver.reports.pages.numbers import Numbers
from hashserver.reports.pages.words import words_for


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("hashserver.reports.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def fill(template: str, language: str, **values: Any) -> str:
    """A page.

    Args:
        template: name of a file in `templates/`.
        language: nl or en.
        values: what the template shows.
    """
    today = datetime.now(UTC).date()
    common = {"lang": language, "w": words_for(language), "n": Numbers(language), "today": today, "mark": MARK}
    return _environment().get_template(template).render(**common, **values)
