"""Names of hash sets."""

from __future__ import annotations

_MOST = 100
RULE = f"use up to {_MOST} letters, digits, dots, dashes and underscores"


def is_set_name(name: str) -> bool:
    """Whether a new set may have this name: see `RULE`."""
    return 0 < len(name) <= _MOST and all(character.isalnum() or character in "._-" for character in name)
