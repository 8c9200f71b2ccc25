"""Which generations are kept, and the words for what made them.

Single entries come and go by the thousand, and must not push out of the history what a load has
replaced. So a generation counts by the change that made it: loads, removals, rollbacks and the like
make those of which `keep_generations` are kept. Each of these but the oldest has the generation
before it beside it, so that it can be undone. Of the generations that adding or withdrawing single
entries has made, the newest `keep_generations` are kept as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hashcore.disk.layout import Manifest

_SMALL = re.compile(r"(add|withdraw) [\d,]+ (to|of) ")  # of the two functions below


def add_action(entries: int, name: str) -> str:
    """The words for a change that added single entries to a set."""
    return f"add {entries:,} to {name}"


def withdraw_action(entries: int, name: str) -> str:
    """The words for a change that withdrew single entries from a set."""
    return f"withdraw {entries:,} of {name}"


def is_small(action: str) -> bool:
    """Whether the words are those for adding or withdrawing single entries."""
    return _SMALL.match(action) is not None


def kept_generations(manifests: Sequence[Manifest], keep: int) -> set[int]:
    """The numbers of the generations to keep.

    Args:
        manifests: of those that are there, oldest first; the last one is the current one.
        keep: how many to keep: of loads and the like, and of changes of single entries.
    """
    keep = max(1, keep)
    small = [each.generation for each in manifests if is_small(each.action)]
    large = [each.generation for each in manifests if not is_small(each.action)]
    before = [number - 1 for number in large[max(0, len(large) - keep + 1) :]]
    kept = {*small[-keep:], *large[-keep:], *before}
    return {each.generation for each in manifests} & kept
