"""Quarantine: a known-good set with the hashes of entries that are to stay suppressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hashcore import HashColumn, KnownEntry, Rows, Strings
from hashcore import hash_type as look_up

QUARANTINE = "quarantine"
"""Name of the known-good set."""


def rows_to_quarantine(found: Mapping[str, Sequence[KnownEntry]]) -> Iterator[Rows]:
    """Entries by their ids as blocks of one row each, to load into the set `QUARANTINE`."""
    line = 0
    for id, entries in found.items():
        for entry in entries:
            line += 1
            hashes = {
                hash_type: HashColumn(np.frombuffer(digest, np.uint8).reshape(1, look_up(hash_type).width).copy())
                for hash_type, digest in entry.hashes.items()
            }
            yield Rows(np.array([line], np.int64), hashes, None, Strings.of([id.encode()]))
