"""Numbers, months and days as Dutch and English readers write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

_MONTHS = {
    "nl": ["jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
_UNITS = {
    "nl": ((1e9, "miljard", "mld"), (1e6, "miljoen", "mln")),
    "en": ((1e9, "billion", "bn"), (1e6, "million", "m")),
}
NONE = "–"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Writes numbers for readers of a language.

    Args:
        language: nl or en.
    """

    language: str

    def whole(self, value: float | None) -> str:
        """All digits, in groups of three; a dash for what is not known."""
        return NONE if value is None else self._local(f"{value:,.0f}")

    def decimal(self, value: float | None, places: int = 1) -> str:
        """With decimals."""
        return NONE if value is None else self._local(f"{value:,.{places}f}")

    def percent(self, part: float | None, whole: float = 1.0, places: int = 1) -> str:
        """A share of a whole in per cent; a dash where it is not known."""
        return (
            NONE
            if part is None or not whole
            else self._local(f"{100 * part / whole:,.{places}f}") + "\N{NO-BREAK SPACE}%"
        )

    def large(self, value: float) -> str:
        """For headlines, such as 18.2 billion."""
        return self._in_units(value, 1, 1)

    def short(self, value: float) -> str:
        """For axes, such as 1.5 bn."""
        return self._in_units(value, 2, None)

    def month(self, name: str) -> str:
        """Such as Mar, for 2020-03."""
        return _MONTHS[self.language][int(name[5:7]) - 1]

    def day(self, day: date) -> str:
        """Such as 1 Mar 2020."""
        return f"{day.day} {_MONTHS[self.language][day.month - 1]} {day.year}"

    def _in_units(self, value: float, which: int, places: int | None) -> str:
        for unit in _UNITS[self.language]:
            if abs(value) >= float(unit[0]):
                number = value / float(unit[0])
                return (
                    self._local(f"{number:,.{places}f}" if places is not None else f"{number:,g}")
                    + f"\N{NO-BREAK SPACE}{unit[which]}"
                )
        return self._local(f"{value:,.0f}" if value == int(value) else f"{value:,g}")

    def _local(self, text: str) -> str:
        return text.translate(_DUTCH) if self.language == "nl" else text


_DUTCH = str.maketrans(",.", ".,")
