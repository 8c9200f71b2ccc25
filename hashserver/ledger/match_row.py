"""One match as a worker hands it to the ledger: a row of twelve columns, known by name.

A plain tuple: building and encoding 100,000 named tuples takes three times as long, and requests
wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hashserver.ledger.entry_keys import key_of

if TYPE_CHECKING:
    from hashcore import Entry  # loading it would make every committer start much later

MatchRow = tuple[int, int, str, int, str, int, int, str, str, str | None, str | None, int]
"""The columns below, in their order."""

TIME: Final = 0  # Unix milliseconds
PARTY: Final = 1  # its number
REQUEST: Final = 2  # X-Request-Id
GENERATION: Final = 3
HASH_TYPE: Final = 4  # its name
DISTANCE: Final = 5
RANK: Final = 6  # 0 for the nearest match of a hit
SET_NAME: Final = 7
KEY: Final = 8  # tells the entry from others of its set, see `hashserver.ledger.entry_keys`
EXTERNAL_ID: Final = 9
CATEGORY: Final = 10
ADDED: Final = 11  # when the entry was added, Unix milliseconds


def match_row(
    time: int, party: int, request: str, generation: int, hash_type: str, distance: int, rank: int, entry: Entry
) -> MatchRow:
    """The row of one match.

    Args:
        time: Unix milliseconds.
        party: number of the party that asked.
        request: its request id.
        generation: that answered.
        hash_type: name of the type.
        distance: of the entry.
        rank: 0 for the nearest match of a hit, then 1, 2...
        entry: that matched.
    """
    key, added = key_of(entry), int(entry.added * 1000)
    return (
        time,
        party,
        request,
        generation,
        hash_type,
        distance,
        rank,
        entry.set,
        key,
        entry.id,
        entry.category,
        added,
    )


def entry_of(row: MatchRow | list[Any]) -> tuple[str, str]:
    """What names the entry of a match: its set and its key."""
    return row[SET_NAME], row[KEY]
