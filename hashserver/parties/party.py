"""A party as requests see it."""

from __future__ import annotations

from dataclasses import dataclass

PERMISSIONS = ("check", "contribute", "feedback", "report", "admin")
"""What a party may do: check hashes; add entries and withdraw its own; give feedback on matches;
see the figures of all parties; change parties and sets. `admin` includes the others."""


@dataclass(frozen=True, slots=True)
class Party:
    """A connected organisation.

    Args:
        number: in the ledger; 0 stands for everybody while no party is configured.
        name: as people know it.
        permissions: some of PERMISSIONS.
        sets: names of the match sets that its checks go against; None: all.
        max_rate: hashes per second, on average; None: no limit.
        daily_quota: hashes per day (UTC); None: no limit.
    """

    number: int
    name: str
    permissions: frozenset[str]
    sets: frozenset[str] | None = None
    max_rate: float | None = None
    daily_quota: int | None = None

    def may(self, permission: str) -> bool:
        """Whether it has a permission."""
        return permission in self.permissions or "admin" in self.permissions


LOCAL = Party(0, "this machine", frozenset(PERMISSIONS))
"""Stands for everybody while no party is configured; only this machine may ask then, see
`hashserver.server.loopback`."""
