from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from hashserver.cli.quantities import read_count, read_duration, read_rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("30s", 30), ("15m", 900), ("6h", 21_600), ("30d", 2_592_000), ("1.5h", 5400), ("12h", 43_200)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert read_duration(text, "--overlap") == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5000000/s", 5e6),
        ("5,000,000/s", 5e6),
        ("5_000_000", 5e6),
        ("5M/s", 5e6),
        ("50M", 5e7),
        ("50MB", 5e7),
        ("50MB/s", 5e7),
        ("1.5k", 1500),
        ("0.1", 0.1),
        ("2G", 2e9),
    ],
)
def test_a_rate_is_a_number_per_second(text: str, rate: float) -> None:
    assert read_rate(text, "--max-rate", "5M/s") == pytest.approx(rate)


@pytest.mark.parametrize(
    ("text", "count"), [("1", 1), ("2,000,000,000", 2 * 10**9), ("2G", 2 * 10**9), ("10k", 10_000)]
)
def test_a_count_is_a_whole_number(text: str, count: int) -> None:
    assert read_count(text, "--daily-quota", "2G") == count


BAD_DURATIONS = ["", "30", "soon", "-1s", "1w", "1 h", "h", "1e3s", "١d", "9" * 400 + "d", "nan s"]
BAD_RATES = ["", "0", "0/s", "fast", "-5", "/s", "M", "inf", "nan", "1e9", "5/m", "1.k", "9" * 400, "9" * 31 + "T"]
BAD_COUNTS = ["", "0", "1.5", "1.5k", "-1", "many", "2B", "5/s", "9" * 5000, "²"]


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        *((lambda text: read_duration(text, "--x"), text, "30s, 15m, 6h or 30d") for text in BAD_DURATIONS),
        *((lambda text: read_rate(text, "--x", "5M/s"), text, "a rate such as 5M/s") for text in BAD_RATES),
        *((lambda text: read_count(text, "--x", "2G"), text, "a whole number such as 2G") for text in BAD_COUNTS),
    ],
)
def test_what_is_none_is_refused_with_a_good_example(read: Callable[[str], float], text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        read(text)
    assert words in caught.value.message
    assert caught.value.param_hint == "--x"
