"""What figures have to say, computed the obvious way from the rows of `matches`, one by one."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hashserver.reports.figures import Period


@dataclass
class Model:
    """Sums over the hits of a period: names as the statistics use them."""

    hits: int = 0
    matches: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    matches_by: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    entries_by: dict[str, dict[str, set[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    repeats: Counter[int] = field(default_factory=Counter)
    parties_of: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    last_of: dict[int, int] = field(default_factory=dict)
    first_of: dict[int, int] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)


def month_name(ms: int) -> str:
    """Such as 2020-03."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m")


def model_of(connection: sqlite3.Connection, period: Period, party: int | None = None) -> Model:
    """Go through all hits."""
    model = Model()
    entries = {
        row[0]: row[1:] for row in connection.execute("SELECT id, set_name, coalesce(category, '') FROM entries")
    }
    names = {0: "this machine", **dict(connection.execute("SELECT id, name FROM parties"))}
    rows = connection.execute("SELECT time, party, type, entry, distance, rank FROM matches ORDER BY time, id")
    for time, who, hash_type, entry, distance, rank in rows:
        if party is not None and who != party:
            continue
        first = model.first_of.setdefault(entry, time)
        if not period.start_ms <= time < period.end_ms:
            continue
        if first == time:
            model.fresh.add(entry)
        set_name, category = entries[entry]
        model.hits += rank == 0
        model.matches += 1
        model.repeats[entry] += 1
        model.parties_of[entry].add(who)
        model.last_of[entry] = max(time, model.last_of.get(entry, 0))
        keys = {
            "month": month_name(time),
            "party": names.get(who, f"party {who}"),
            "set": set_name,
            "category": category,
        }
        for table, name in {**keys, "type": hash_type, "distance": f"{hash_type} {distance}"}.items():
            model.by[table][name] += rank == 0
            model.matches_by[table][name] += 1
            model.entries_by[table][name].add(entry)
    return model
