from __future__ import annotations

from datetime import date

import pytest

from hashserver.reports.pages.numbers import Numbers

DUTCH, ENGLISH = Numbers("nl"), Numbers("en")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_numbers_are_written_as_their_readers_write_them() -> None:
    assert (DUTCH.whole(18_200_000_000), ENGLISH.whole(18_200_000_000)) == ("18.200.000.000", "18,200,000,000")
    assert (DUTCH.decimal(1234.56), ENGLISH.decimal(1234.56)) == ("1.234,6", "1,234.6")
    assert (plain(DUTCH.percent(1, 3)), plain(ENGLISH.percent(1, 3))) == ("33,3 %", "33.3 %")
    assert (plain(DUTCH.large(18.2e9)), plain(ENGLISH.large(7.4e6))) == ("18,2 miljard", "7.4 million")
    assert (plain(DUTCH.short(1.5e6)), plain(ENGLISH.short(2e9)), ENGLISH.short(500)) == ("1,5 mln", "2 bn", "500")
    assert (DUTCH.month("2020-03"), ENGLISH.month("2020-03")) == ("mrt", "Mar")
    assert DUTCH.day(date(2020, 5, 1)) == "1 mei 2020"


@pytest.mark.parametrize("numbers", [DUTCH, ENGLISH])
def test_what_is_not_known_is_a_dash(numbers: Numbers) -> None:
    assert numbers.whole(None) == numbers.decimal(None) == numbers.percent(None) == numbers.percent(1, 0) == "–"
