"""Rates and quotas in hashes, exact across all workers, which share a file with a slot per party.

A rate is a token bucket that holds one second's worth. A request is accepted while there is
anything in the bucket and takes what it needs, so a request may be larger than the bucket; the next
one then waits until the debt is paid, and over time the rate is never exceeded.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hashserver.parties.party import Party
from hashserver.times import DAY_SECONDS

FILE = "limits.bin"
_SLOT = struct.Struct("<ddqqqq")  # tokens, when they were counted; even day, its hashes; odd day, its hashes
_SLOT_BYTES = 64
_SLOTS = 1 << 14


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a party may check, and what is left of it.

    Args:
        policy: its limits, as the header RateLimit-Policy.
        state: what is left of each, as the header RateLimit.
    """

    policy: str
    state: str

    def headers(self) -> dict[str, str]:
        """Both headers, as in draft-ietf-httpapi-ratelimit-headers."""
        return {"RateLimit-Policy": self.policy, "RateLimit": self.state}


class OverLimit(Exception):
    """A party may not check that many hashes now.

    Args:
        message: the limit, what is left of it, and when to try again.
        limit: which one it is.
        wait: seconds until the same request is accepted.
        allowance: what is left; nothing was taken from it.
    """

    def __init__(self, message: str, limit: Literal["rate", "quota"], wait: float, allowance: Allowance) -> None:
        super().__init__(message)
        self.limit, self.wait, self.allowance = limit, wait, allowance


@dataclass(slots=True)
class _Slot:
    """What is known of one party.

    Args:
        tokens: hashes in its bucket, when it was last looked at.
        counted: when that was, Unix seconds.
        days: `[day, hashes]` of the last even and the last odd day, so that a clock that is set
            back over midnight, and forward again, forgets neither.
    """

    tokens: float
    counted: float
    days: tuple[list[int], list[int]]

    def of_day(self, day: int) -> list[int]:
        """`[day, hashes]` of a day."""
        found = self.days[day % 2]
        if found[0] != day:
            found[:] = day, 0
        return found


class Meter:
    """Charges parties for hashes.

    Args:
        folder: the data folder; all workers share the file in it.

    Raises:
        OSError: the file cannot be created, for example because the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        # The file is read and written, not mapped: a map of a file on a full disk ends in SIGBUS.
        self._file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        with self._locked(_SLOTS * _SLOT_BYTES):
            missing = _SLOTS * _SLOT_BYTES - os.fstat(self._file).st_size
            if missing > 0:  # written in full, so that there is room on the disk when a slot is needed
                os.pwrite(self._file, bytes(missing), _SLOTS * _SLOT_BYTES - missing)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def charge(self, party: Party, hashes: int) -> Allowance | None:
        """Take hashes off what a party may still check.

        Returns:
            What is left, or None if it has no limits.

        Raises:
            OverLimit: they are too many; nothing was taken.
        """
        if party.max_rate is None and party.daily_quota is None:
            return None
        with self._slot(party.number) as slot:
            now = time.time()  # within the lock, so that times only go up
            day = slot.of_day(int(now // DAY_SECONDS))
            if slot.counted > now:  # the clock was set back: what is owed stays, and is paid off from now on
                slot.counted = now
            # Without a rate there is no bucket; if a rate is set later, its bucket starts full.
            slot.tokens = 0.0 if party.max_rate is None else _filled(slot, now, party.max_rate)
            slot.counted = 0.0 if party.max_rate is None else now
            _refuse_beyond(party, slot.tokens, day[1], hashes, now)
            if party.max_rate is not None:
                slot.tokens -= hashes
            day[1] += hashes
        return _allowance(party, slot.tokens, day[1], now)

    def refund(self, party: Party, hashes: int) -> None:
        """Give back what was charged for a request that could not be answered."""
        if party.max_rate is None and party.daily_quota is None:
            return
        with self._slot(party.number) as slot:
            day = slot.of_day(int(time.time() // DAY_SECONDS))
            day[1] = max(0, day[1] - hashes)
            if party.max_rate is not None:
                slot.tokens = min(party.max_rate, slot.tokens + hashes)

    def seed(self, party: int, day: int, used: int) -> None:
        """Count at least what the ledger has for a party on a day, in case the file was lost.

        Args:
            party: its number.
            day: since 1970, UTC.
            used: hashes.
        """
        with self._slot(party) as slot:
            found = slot.of_day(day)
            found[1] = max(found[1], used)

    @contextmanager
    def _slot(self, party: int) -> Iterator[_Slot]:
        """The slot of a party, locked; it is written also if the block raises OverLimit."""
        at = (party % _SLOTS) * _SLOT_BYTES
        with self._locked(at):
            read = os.pread(self._file, _SLOT.size, at).ljust(_SLOT.size, b"\0")
            tokens, counted, *days = _SLOT.unpack(read)
            slot = _Slot(tokens, counted, (days[:2], days[2:]))
            try:
                yield slot
            finally:
                # Checks that miss go on while the disk is full, even if there is no room for their
                # slot.
                with suppress(OSError):
                    packed = _SLOT.pack(slot.tokens, slot.counted, *slot.days[0], *slot.days[1])
                    os.pwrite(self._file, packed, at)

    @contextmanager
    def _locked(self, at: int) -> Iterator[None]:
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT_BYTES, at)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT_BYTES, at)


def _filled(slot: _Slot, now: float, rate: float) -> float:
    # A clock that was set forward must not fill the bucket beyond its size.
    return min(rate, slot.tokens + (now - slot.counted) * rate)


def _refuse_beyond(party: Party, tokens: float, used: int, hashes: int, now: float) -> None:
    if party.daily_quota is not None and used + hashes > party.daily_quota:
        wait = DAY_SECONDS - now % DAY_SECONDS
        left = max(0, party.daily_quota - used)
        detail = (
            f"party {party.name!r} may check {party.daily_quota:,} hashes a day (UTC) and has {left:,} left, "
            f"fewer than this request's {hashes:,}; the next day begins in {wait:,.0f} s"
        )
        raise OverLimit(detail, "quota", wait, _allowance(party, tokens, used, now))
    if party.max_rate is not None and tokens <= 0:
        wait = -tokens / party.max_rate + min(1.0, 1 / party.max_rate)
        detail = (
            f"party {party.name!r} may check {party.max_rate:,.0f} hashes a second; try again in {wait:,.1f} s"
        )
        raise OverLimit(detail, "rate", wait, _allowance(party, tokens, used, now))


def _allowance(party: Party, tokens: float, used: int, now: float) -> Allowance:
    policy, state = [], []
    if party.max_rate is not None:
        wait = max(0.0, -tokens / party.max_rate)
        policy.append(f'"rate";q={max(1, int(party.max_rate))};w=1')
        state.append(f'"rate";r={max(0, int(tokens))};t={-int(-wait // 1)}')
    if party.daily_quota is not None:
        policy.append(f'"day";q={party.daily_quota};w={DAY_SECONDS}')
        state.append(f'"day";r={max(0, party.daily_quota - used)};t={int(DAY_SECONDS - now % DAY_SECONDS)}')
    return Allowance(", ".join(policy), ", ".join(state))
