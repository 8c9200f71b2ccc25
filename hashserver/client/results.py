"""What a check answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A known item: the set that holds it, and its category and id where the set gives them."""

    set: str
    category: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class Match:
    """The entries at one distance from one hash.

    Args:
        type: the hash type.
        index: where the hash stood, counted from 0 in what was asked about of this type.
        hash: the hash asked about, in lower-case hexadecimal.
        distance: bits that differ; 0 for the types that match exactly.
        entries: the known items.
        truncated: the server knows more entries than it reports for one hash.
    """

    type: str
    index: int
    hash: str
    distance: int
    entries: tuple[Entry, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Invalid:
    """A hash that was not checked.

    Args:
        type: the hash type.
        index: where it stood, as in `Match`.
        reason: what is wrong with it, without repeating it.
    """

    type: str
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check came to; it may have taken several requests.

    Args:
        generations: those that answered, ascending; never empty. Several when the server's sets
            changed while the check was under way.
        checked: how many hashes of each type were well-formed, and compared.
        matches: what matched, by type in the order asked, then by index, then nearest first.
        invalid: what was not checked, in the same order.
        store: id of the store that answered; empty when several did, or a server that says none.
        states: what the answers are about, distinct and in order; empty for a server of an earlier
            version, which does not say.
    """

    generations: tuple[int, ...]
    checked: Mapping[str, int]
    matches: tuple[Match, ...]
    invalid: tuple[Invalid, ...] = ()
    store: str = ""
    states: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The one state that all answers came from; empty when there were several, or none.

        Answers with equal states are about the same entries: the same generation of the same store,
        seen with the same sets allowed.
        """
        return self.states[0] if len(self.states) == 1 else ""

    @property
    def generation(self) -> int:
        """The oldest generation that answered: every hash was compared with it or a later one."""
        return self.generations[0]


def merged(parts: Sequence[CheckResult], types: Sequence[str], invalid: Sequence[Invalid]) -> CheckResult:
    """One result of those of several requests.

    Args:
        parts: of each request, in the order asked; at least one.
        types: the types asked about.
        invalid: hashes that no request held.
    """
    checked = dict.fromkeys(types, 0)
    for part in parts:
        for name, count in part.checked.items():
            checked[name] = checked.get(name, 0) + count
    stores = {part.store for part in parts}
    return CheckResult(
        tuple(sorted({number for part in parts for number in part.generations})),
        checked,
        tuple(match for part in parts for match in part.matches),
        (*invalid, *(one for part in parts for one in part.invalid)),
        store=stores.pop() if len(stores) == 1 else "",
        states=tuple(dict.fromkeys(state for part in parts for state in part.states)),
    )
