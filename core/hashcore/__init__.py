"""The engine: known hashes in a memory-mapped store, checked by compiled code.

It knows nothing of HTTP, of parties, or of what time it is. Open a store, load a set, check an
array::

    from pathlib import Path
    import numpy as np
    from hashcore import HashColumn, Rows, Store, hash_type

    md5 = hash_type("md5")
    known = np.random.default_rng(1).integers(0, 256, (1000, 16), np.uint8)
    with Store(Path("data")) as store:
        store.load("police", [Rows(np.arange(1000), {"md5": HashColumn(known)})], now=0.0)
        with store.read() as snapshot:
            matches = snapshot.match(md5, known[:3])
            for query, entry in zip(matches.queries, snapshot.entries(matches)):
                print(query, entry.set, entry.category, entry.id)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hashcore.errors import BadDistance, HashcoreError
from hashcore.hashtypes import HASH_TYPES, HashType, Rule, hash_type
from hashcore.rows import Categories, HashColumn, Reject, Rows, Strings, Withdrawals

if TYPE_CHECKING:
    from hashcore.changes.publish import Limits, LoadOptions, Outcome, Planned
    from hashcore.reading.matches import Matches
    from hashcore.reading.opened import Entry
    from hashcore.reading.snapshot import KnownEntry, Snapshot
    from hashcore.store import Store

__all__ = [
    "HASH_TYPES",
    "BadDistance",
    "Categories",
    "Entry",
    "HashColumn",
    "HashType",
    "HashcoreError",
    "KnownEntry",
    "Limits",
    "LoadOptions",
    "Matches",
    "Outcome",
    "Planned",
    "Reject",
    "Rows",
    "Rule",
    "Snapshot",
    "Store",
    "Strings",
    "Withdrawals",
    "hash_type",
]

# Imported when first used: they load numba, which a client or a scan of files does not need.
_COMPILED = {
    "Entry": "hashcore.reading.opened",
    "KnownEntry": "hashcore.reading.snapshot",
    "Limits": "hashcore.changes.publish",
    "LoadOptions": "hashcore.changes.publish",
    "Matches": "hashcore.reading.matches",
    "Outcome": "hashcore.changes.publish",
    "Planned": "hashcore.changes.publish",
    "Snapshot": "hashcore.reading.snapshot",
    "Store": "hashcore.store",
}


def __getattr__(name: str) -> object:
    if name not in _COMPILED:
        raise AttributeError(f"module 'hashcore' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_COMPILED[name]), name)
    return found
