"""Describing the sets of a generation: names and counts, never hashes."""

from __future__ import annotations

from typing import Any

from hashcore import HASH_TYPES
from hashcore.disk.layout import Manifest
from hashserver.times import timestamp


def describe(manifest: Manifest) -> dict[str, Any]:
    """The sets of a generation as the API and the command line show them, for JSON."""
    return {
        "generation": manifest.generation,
        "published": timestamp(manifest.created) if manifest.generation else None,
        "sets": [
            {
                "name": entry.name,
                "role": entry.role,
                "entries": entry.entries,
                "hashes": entry.counts,
                "max_distance": {
                    name: entry.distances.get(name, HASH_TYPES[name].default_distance)
                    for name in entry.counts
                    if HASH_TYPES[name].is_near
                },
                "changed": timestamp(entry.loaded),
                "added": entry.added,
                "removed": entry.removed,
            }
            for _, entry in sorted(manifest.sets.items())
        ],
    }
