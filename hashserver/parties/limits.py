"""Rates and quotas, in hashes, exact over all workers: one slot a party in a file that they all map.

A rate is a token bucket that holds a second's worth. A request is let in while there is anything in the
bucket and takes what it needs, so a request larger than the bucket is possible, and the next one waits until
the debt is paid: over time the rate is never exceeded.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from hashserver.parties.party import Party
from hashserver.problems import Problem

FILE = "limits.bin"
_SLOT = struct.Struct("<ddqq")  # tokens, when they were counted, day, hashes of that day
_SLOT_BYTES = 64
_SLOTS = 1 << 14
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Standing:
    """How a party stands after a request, for the RateLimit headers."""

    policy: str
    state: str

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {"RateLimit-Policy": self.policy, "RateLimit": self.state}


class Meter:
    """Charges parties for hashes.

    Args:
        folder: the data folder; workers of all processes share the file in it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _SLOTS * _SLOT_BYTES:
            os.ftruncate(self._file, _SLOTS * _SLOT_BYTES)
        self._map = mmap.mmap(self._file, _SLOTS * _SLOT_BYTES)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._file)

    def charge(self, party: Party, hashes: int) -> Standing | None:
        """Take hashes off what a party may ask.

        Returns:
            How it stands, or None if it has no limits.

        Raises:
            Problem: 429; nothing was taken.
        """
        if party.max_rate is None and party.daily_quota is None:
            return None
        now = time.time()
        at = (party.number % _SLOTS) * _SLOT_BYTES
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT_BYTES, at)
            try:
                tokens, counted, day, used = _SLOT.unpack_from(self._map, at)
                today = int(now // _DAY)
                if day != today:
                    day, used = today, 0
                if party.max_rate is not None:
                    tokens = _filled(tokens, counted, now, party.max_rate)
                _refuse_beyond(party, tokens, used, hashes, now)
                _SLOT.pack_into(self._map, at, tokens - hashes, now, day, used + hashes)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT_BYTES, at)
        return _standing(party, tokens - hashes, used + hashes, now)

    def seed(self, party: int, day: int, used: int) -> None:
        """Say what the ledger has counted for a party today, in case the file was lost."""
        at = (party % _SLOTS) * _SLOT_BYTES
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT_BYTES, at)
            try:
                tokens, counted, known_day, known = _SLOT.unpack_from(self._map, at)
                if known_day != day or known < used:
                    _SLOT.pack_into(self._map, at, tokens, counted, day, used)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT_BYTES, at)


def _filled(tokens: float, counted: float, now: float, rate: float) -> float:
    # A clock that was set back must not empty the bucket, nor one set forward fill it beyond its size.
    return min(rate, tokens + max(0.0, now - counted) * rate)


def _refuse_beyond(party: Party, tokens: float, used: int, hashes: int, now: float) -> None:
    if party.daily_quota is not None and used + hashes > party.daily_quota:
        wait = _DAY - now % _DAY
        left = max(0, party.daily_quota - used)
        detail = (
            f"party {party.name!r} may check {party.daily_quota:,} hashes a day (UTC) and has {left:,} left, "
            f"fewer than this request's {hashes:,}; the next day begins in {wait:,.0f} s"
        )
        raise _too_fast(party, "quota-exceeded", detail, wait, tokens, used, now)
    if party.max_rate is not None and tokens <= 0:
        wait = -tokens / party.max_rate + min(1.0, 1 / party.max_rate)
        detail = (
            f"party {party.name!r} may check {party.max_rate:,.0f} hashes a second; try again in {wait:,.1f} s"
        )
        raise _too_fast(party, "rate-exceeded", detail, wait, tokens, used, now)


def _too_fast(party: Party, slug: str, detail: str, wait: float, tokens: float, used: int, now: float) -> Problem:
    problem = Problem(429, slug, "Too many hashes", detail, retry_after=round(wait, 3))
    problem.headers["Retry-After"] = str(max(1, -int(-wait // 1)))
    problem.headers.update(_standing(party, tokens, used, now).headers())
    return problem


def _standing(party: Party, tokens: float, used: int, now: float) -> Standing:
    policy, state = [], []
    if party.max_rate is not None:
        wait = max(0.0, -tokens / party.max_rate)
        policy.append(f'"rate";q={max(1, int(party.max_rate))};w=1')
        state.append(f'"rate";r={max(0, int(tokens))};t={-int(-wait // 1)}')
    if party.daily_quota is not None:
        policy.append(f'"day";q={party.daily_quota};w={_DAY}')
        state.append(f'"day";r={max(0, party.daily_quota - used)};t={int(_DAY - now % _DAY)}')
    return Standing(", ".join(policy), ", ".join(state))
