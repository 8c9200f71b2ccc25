"""What may name a hash set."""

from __future__ import annotations

_MOST = 100
RULE = f"use up to {_MOST} letters, digits, dots, dashes and underscores"


def is_set_name(name: str) -> bool:
    """Whether a new set may be called so."""
    return 0 < len(name) <= _MOST and all(character.isalnum() or character in "._-" for character in name)
