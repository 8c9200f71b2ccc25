"""Whether a server has sets that what is asked about could be in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hashserver.errors import Trouble


class NothingServed(Trouble):
    """The server has no set that what is asked about could be in; the message says what to do."""


def types_served(sets: dict[str, Any]) -> frozenset[str]:
    """The hash types that match sets have, of an answer of `GET /v2/sets`."""
    return frozenset(
        name for each in sets["sets"] if each["role"] == "match" for name, count in each["hashes"].items() if count
    )


def check_served(sets: dict[str, Any], types: Collection[str], server: str) -> None:
    """Refuse to ask a server that has nothing to compare with: it would find nothing, for certain.

    Args:
        sets: what it answered to `GET /v2/sets`.
        types: the hash types to ask about.
        server: its URL.

    Raises:
        NothingServed: no match set has a hash of any of these types.
    """
    served = types_served(sets)
    if not served:
        raise NothingServed(
            f"{server} has no sets to check against, or none that this key may use, so nothing would be looked "
            "at; ask its owner, or use --allow-empty"
        )
    if not served & set(types):
        raise NothingServed(
            f"the sets of {server} have no {' or '.join(sorted(types))}, only {', '.join(sorted(served))}, so "
            "nothing would be looked at; use --type, or --allow-empty"
        )
