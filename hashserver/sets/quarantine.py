"""Quarantine: entries whose hashes a known-good set holds, so that they stay suppressed whatever loads bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hashcore import HashColumn, KnownEntry, Rows, Strings, hash_type

QUARANTINE = "quarantine"
"""Name of the known-good set."""


def rows_to_quarantine(found: Mapping[str, Sequence[KnownEntry]]) -> Iterator[Rows]:
    """The entries of some external ids as blocks of one row, for a load of the set `QUARANTINE`."""
    line = 0
    for id, entries in found.items():
        for entry in entries:
            line += 1
            hashes = {
                kind: HashColumn(np.frombuffer(digest, np.uint8).reshape(1, hash_type(kind).width).copy())
                for kind, digest in entry.hashes.items()
            }
            yield Rows(np.array([line], np.int64), hashes, None, Strings.of([id.encode()]))
