"""Rates and quotas: against a plain model, by several processes, and when the clock is set back."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver.parties import Party
from hashserver.parties.limits import FILE, Meter, OverLimit

DAY = 86400
NOON = 20_000 * DAY + DAY / 2


class Clock:
    """Stands for the time of day."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(NOON)
    monkeypatch.setattr("hashserver.parties.limits.time.time", made)
    return made


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    made = Meter(tmp_path)
    yield made
    made.close()


def party(rate: float | None = None, quota: int | None = None, number: int = 1) -> Party:
    return Party(number, "Example", frozenset({"check"}), None, rate, quota)


def is_let_in(meter: Meter, who: Party, hashes: int) -> bool:
    try:
        meter.charge(who, hashes)
    except OverLimit:
        return False
    return True


class Model:
    """The same in the plainest words, for a clock that only goes on."""

    def __init__(self, rate: float | None, quota: int | None) -> None:
        self.rate, self.quota, self.tokens, self.last = rate, quota, rate or 0.0, None
        self.used: dict[int, int] = {}

    def charge(self, now: float, hashes: int) -> bool:
        day = int(now // DAY)
        if self.rate is not None:
            passed = 0.0 if self.last is None else now - self.last
            full = min(self.rate, self.tokens + passed * self.rate)
        if self.quota is not None and self.used.get(day, 0) + hashes > self.quota:
            return False
        if self.rate is not None:
            if full <= 0:
                return False
            self.tokens, self.last = full - hashes, now
        self.used[day] = self.used.get(day, 0) + hashes
        return True


# Multiples of an eighth are exact in binary, so that meter and model cannot differ by rounding.
STEPS = st.lists(
    st.tuples(st.integers(0, 8 * 40_000) | st.integers(0, 20), st.integers(0, 300)), min_size=1, max_size=40
)


@given(rate=st.none() | st.sampled_from([1.0, 8.0, 100.0]), quota=st.none() | st.integers(1, 2000), steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_it_equals_a_plain_model(rate: float | None, quota: int | None, steps: list[tuple[int, int]]) -> None:
    clock, model, who = Clock(NOON), Model(rate, quota), party(rate, quota)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashserver.parties.limits.time.time", clock)
        meter = Meter(Path(folder))
        for eighths, hashes in steps:
            clock.now += eighths / 8
            assert is_let_in(meter, who, hashes) == model.charge(clock.now, hashes)
        meter.close()


@given(steps=st.lists(st.tuples(st.integers(-50_000, 50_000), st.integers(0, 60)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_day_gets_more_than_its_quota_however_the_clock_is_set(steps: list[tuple[int, int]]) -> None:
    clock, who, used = Clock(NOON), party(quota=100), dict[int, int]()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashserver.parties.limits.time.time", clock)
        meter = Meter(Path(folder))
        for seconds, hashes in steps:
            # Back and forth over one midnight; a clock that is days off has other troubles.
            clock.now = min(max(clock.now + seconds, NOON - DAY / 2), NOON + DAY)
            day = int(clock.now // DAY)
            if is_let_in(meter, who, hashes):
                used[day] = used.get(day, 0) + hashes
        meter.close()
    assert all(hashes <= 100 for hashes in used.values())


def test_the_answer_says_how_a_party_stands(meter: Meter, clock: Clock) -> None:
    allowance = meter.charge(party(100.0, 1000), 40)
    assert allowance is not None
    assert allowance.headers() == {
        "RateLimit-Policy": f'"rate";q=100;w=1, "day";q=1000;w={DAY}',
        "RateLimit": f'"rate";r=60;t=0, "day";r=960;t={DAY // 2}',
    }
    assert meter.charge(party(), 40) is None


def test_who_waits_as_long_as_it_says_is_let_in(meter: Meter, clock: Clock) -> None:
    who = party(rate=10.0)
    assert is_let_in(meter, who, 35)  # more than the bucket holds: the next ones pay
    with pytest.raises(OverLimit, match=r"10 hashes a second; try again in 2.6 s") as refused:
        meter.charge(who, 1)
    assert (refused.value.limit, refused.value.wait) == ("rate", pytest.approx(2.6))
    assert refused.value.allowance.state == '"rate";r=0;t=3'
    clock.now += 2.4
    assert not is_let_in(meter, who, 1)
    clock.now += 0.2
    assert is_let_in(meter, who, 1)


def test_a_day_that_is_used_up_ends_at_midnight(meter: Meter, clock: Clock) -> None:
    who = party(quota=100)
    assert is_let_in(meter, who, 90)
    with pytest.raises(OverLimit, match="has 10 left, fewer than this request's 11") as refused:
        meter.charge(who, 11)
    assert (refused.value.limit, refused.value.wait) == ("quota", DAY / 2)
    assert is_let_in(meter, who, 10), "what is refused is not taken"
    clock.now += DAY / 2
    assert is_let_in(meter, who, 100)


def test_a_rate_that_comes_later_finds_no_debt(meter: Meter, clock: Clock) -> None:
    assert is_let_in(meter, party(quota=1_000_000), 900_000)
    assert is_let_in(meter, party(10.0, 1_000_000), 1)


def test_a_clock_set_back_neither_empties_nor_fills_the_bucket(meter: Meter, clock: Clock) -> None:
    who = party(rate=10.0)
    assert is_let_in(meter, who, 10)
    clock.now -= 5000
    assert not is_let_in(meter, who, 1)
    clock.now += 0.5
    assert is_let_in(meter, who, 5)
    assert not is_let_in(meter, who, 1)


def test_a_clock_set_back_locks_nobody_out(meter: Meter, clock: Clock) -> None:
    """What is owed is paid off from then on, and not when the clock has caught up."""
    who = party(rate=10.0)
    clock.now += 10 * 365 * DAY
    assert is_let_in(meter, who, 30)
    clock.now -= 11 * 365 * DAY
    assert not is_let_in(meter, who, 1)
    clock.now += 1.9
    assert not is_let_in(meter, who, 1), "20 were owed"
    clock.now += 0.2
    assert is_let_in(meter, who, 1)
    quota = party(quota=100, number=2)
    clock.now += 10 * 365 * DAY
    assert is_let_in(meter, quota, 100)
    clock.now -= 11 * 365 * DAY
    assert is_let_in(meter, quota, 100)


def test_what_is_given_back_can_be_asked_again(meter: Meter, clock: Clock) -> None:
    who = party(10.0, 10)
    for _ in range(3):
        assert is_let_in(meter, who, 10)
        meter.refund(who, 10)
    meter.refund(who, 1000)
    allowance = meter.charge(who, 0)
    assert allowance is not None
    assert allowance.state.startswith('"rate";r=10;t=0, "day";r=10;'), "and never more than there was"


def test_a_seed_raises_what_is_known_and_never_lowers_it(meter: Meter, clock: Clock) -> None:
    who, today = party(quota=100), int(NOON // DAY)
    meter.seed(1, today, 60)
    assert not is_let_in(meter, who, 41)
    assert is_let_in(meter, who, 40)
    meter.seed(1, today, 60)
    assert not is_let_in(meter, who, 1)


def test_parties_do_not_share(meter: Meter, clock: Clock) -> None:
    assert is_let_in(meter, party(quota=10, number=1), 10)
    assert is_let_in(meter, party(quota=10, number=2), 10)


def charge_often(folder: Path, quota: int, told: multiprocessing.SimpleQueue[int]) -> None:
    meter, who, taken = Meter(folder), party(quota=quota), 0
    for turn in range(4000):
        hashes = 1 + turn % 7
        taken += hashes if is_let_in(meter, who, hashes) else 0
    told.put(taken)


def test_processes_that_charge_at_once_use_all_of_a_quota_and_no_more(tmp_path: Path) -> None:
    context, quota = multiprocessing.get_context("fork"), 20_001
    told = context.SimpleQueue()
    processes = [context.Process(target=charge_often, args=(tmp_path, quota, told)) for _ in range(4)]
    for process in processes:
        process.start()
    taken = [told.get() for _ in processes]
    for process in processes:
        process.join()
    assert sum(taken) == quota
    assert sum(each > 0 for each in taken) > 1


def test_the_file_has_its_place_on_the_disk_from_the_start(meter: Meter, tmp_path: Path) -> None:
    state = (tmp_path / FILE).stat()
    assert state.st_blocks * 512 >= state.st_size > 0
    assert state.st_mode & 0o777 == 0o600


def test_a_file_that_is_cut_short_stops_nobody(meter: Meter, tmp_path: Path) -> None:
    """A map would end the process with SIGBUS."""
    script = (
        "import sys, os; from pathlib import Path; from hashserver.parties import Party;"
        "from hashserver.parties.limits import Meter; meter = Meter(Path(sys.argv[1]));"
        "os.truncate(sys.argv[1] + '/limits.bin', 0);"
        "party = Party(1, 'Example', frozenset(), None, None, 5); meter.charge(party, 5);"
        "print(meter.charge(party, 0).state)"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith('"day";r=0;')
