"""Make up a year of the model service: 18.2 billion checks, 7.4 million hits, 26 parties.

    python tools/generate_year.py year-2020    # a data folder, with the hotline's reports
    python tools/generate_year.py small --scale 0.001

Parties join through the year. Each begins with a check of its whole storage, and then checks what
is new, with a weekly rhythm. Few entries account for most hits. Everything is drawn from one seed,
and all tables of the ledger agree with each other. Every reported provider's URLs fall by 35 % once
it is connected, so that what `hashserver report effect` finds can be compared with the truth.
"""

from __future__ import annotations

import argparse
import csv
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore import HASH_TYPES, Store
from hashcore.changes.publish import LoadOptions
from hashcore.rows import Categories, HashColumn, Rows, Strings
from hashserver.ledger import Ledger
from hashserver.ledger.database import FILE
from hashserver.ledger.publications import find_unaudited
from hashserver.parties.admin import PartyAdmin
from hashserver.times import start_of_month

CHECKS, HITS, PARTIES = 18_200_000_000, 7_400_000, 26
TYPES = ("md5", "sha1", "pdq")
SETS = {"police": 900_000, "interpol": 350_000, "ncmec": 250_000, "hotline": 100_000}
CATEGORIES = ("baseline", "national", "unsorted", "")
EFFECT = 0.65
HOUR, DAY = 3_600_000, 86_400_000
_CHUNK = 1 << 19
_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of the model year to make: totals of checks, hits and entries by set."""

    checks: int
    hits: int
    sets: dict[str, int]

    @classmethod
    def of(cls, part: float) -> Scale:
        """A part of the whole, 0 < part <= 1; the number of parties and the calendar stay."""
        sets = {name: max(50, int(size * part)) for name, size in SETS.items()}
        return cls(int(CHECKS * part), int(HITS * part), sets)


@dataclass(frozen=True, slots=True)
class Entries:
    """The known items, n of them, numbered as they stand in their sets.

    Args:
        sets, categories: int64[n], indices into SETS and CATEGORIES.
        added: int64[n], Unix milliseconds.
        twins: int64[n], an entry of another set that stands for the same item.
    """

    sets: _Ints
    categories: _Ints
    added: _Ints
    twins: _Ints

    def __len__(self) -> int:
        return len(self.sets)

    def name(self, entry: int) -> str:
        """Its external id."""
        return f"{list(SETS)[self.sets[entry]][:3].upper()}-{entry:07}"


@dataclass(frozen=True, slots=True)
class Matches:
    """The rows of `matches` in order of time; int64[n] each."""

    time: _Ints
    party: _Ints
    type: _Ints
    entry: _Ints
    distance: _Ints
    rank: _Ints
    request: _Ints


def generate(folder: Path, *, year: int = 2020, seed: int = 2020, scale: float = 1.0) -> None:
    """Make a data folder that holds the year.

    Raises:
        SystemExit: the folder has a ledger already.
    """
    if (folder / FILE).exists():
        sys.exit(f"{folder} has a ledger already; name a folder that does not exist")
    random = np.random.default_rng(seed)
    size = Scale.of(scale)
    start = start_of_month((year - 1970) * 12)
    days = (start_of_month((year - 1969) * 12) - start) // DAY
    joined = joining_days(random, days)
    checked, bulk = draw_checks(random, days, joined, size.checks)
    entries = draw_entries(random, size.sets, start)
    hits = draw_hits(random, checked, bulk, size.hits)
    matches = draw_matches(random, hits, start, entries)
    with Ledger(folder, create=True) as ledger:
        add_parties(ledger, start, joined)
    with bulk_connection(folder / FILE) as connection:
        write_counts(connection, random, start, checked, hits)
        numbers = write_entries(connection, entries, matches)
        write_hits(connection, matches, numbers, start)
        write_sums(connection, entries, matches, numbers)
    with Ledger(folder):  # back to a write-ahead log
        pass
    write_store(folder, random, entries, size.sets, start)
    write_reports(folder / "hotline-reports.csv", random, date(year, 1, 1), days, joined)


def joining_days(random: np.random.Generator, days: int) -> _Ints:
    """int64[PARTIES]: the day on which each party first checks; five begin in the first weeks."""
    early = random.integers(1, 15, 5)
    later = random.integers(20, days - 30, PARTIES - 5)
    return np.sort(np.concatenate([early, later]))


def draw_checks(
    random: np.random.Generator, days: int, joined: _Ints, total: int
) -> tuple[_Ints, NDArray[np.bool_]]:
    """Checks by day, party, type and hour, int64[days, PARTIES, 3, 24], and which days are bulk."""
    day = np.arange(days)[:, None]
    storage = random.lognormal(0, 0.85, PARTIES)
    length = random.integers(3, 25, PARTIES)
    since = day - joined
    bulk = (since >= 0) & (since < length)
    weekday = (day + 2) % 7  # 2020 began on a Wednesday
    rhythm = np.where(weekday >= 5, 0.7, 1.12)
    fresh = storage * random.uniform(0.004, 0.012, PARTIES) * (1 + 0.0015 * np.maximum(since, 0)) * rhythm
    level = np.where(bulk, storage / length, np.where(since >= 0, fresh, 0.0))
    level *= random.lognormal(0, 0.18, level.shape)
    shares = type_shares(random)
    hours = 1 + 0.5 * np.sin((np.arange(24) - 9) / 24 * 2 * np.pi)
    cells = (
        level[:, :, None, None]
        * shares[None, :, :, None]
        * hours
        * random.lognormal(0, 0.1, (days, PARTIES, 1, 24))
    )
    return whole(cells, total), bulk


def type_shares(random: np.random.Generator) -> _Floats:
    """float64[PARTIES, 3]: every party sends MD5, some SHA-1 or PDQ as well."""
    shares = np.zeros((PARTIES, len(TYPES)))
    shares[:, 0] = 1
    shares[::3, 1] = random.uniform(0.2, 0.6, len(shares[::3]))
    shares[1::4, 2] = random.uniform(0.1, 0.5, len(shares[1::4]))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def whole(cells: _Floats, total: int) -> _Ints:
    """Whole numbers in proportion to `cells` whose sum is `total` exactly."""
    exact = cells * (total / cells.sum())
    numbers = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - numbers), axis=None, kind="stable")
    numbers.flat[order[: total - int(numbers.sum())]] += 1
    return numbers


def draw_hits(random: np.random.Generator, checked: _Ints, bulk: NDArray[np.bool_], total: int) -> _Ints:
    """Hits by day, party, type and hour, never more than were checked."""
    rate = random.lognormal(0, 0.6, PARTIES) * np.where(bulk, 1.5, 1.0)
    weights = checked * rate[:, :, None, None] * np.array([1.0, 0.9, 2.2])[None, None, :, None]
    hits = random.multinomial(total, (weights / weights.sum()).ravel()).reshape(checked.shape)
    return np.minimum(hits, checked)


def draw_entries(random: np.random.Generator, sizes: dict[str, int], start: int) -> Entries:
    """Entries of the six years before; a third of the hotline's own came in during the year."""
    sets = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    n = len(sets)
    categories = random.choice(len(CATEGORIES), n, p=[0.55, 0.2, 0.15, 0.1])
    added = start - random.integers(1, 6 * 365 * DAY, n)
    recent = (sets == len(sizes) - 1) & (random.random(n) < 0.35)
    added[recent] = start + random.integers(0, 330 * DAY, int(recent.sum()))
    twins = random.permutation(n)
    same = sets[twins] == sets
    twins[same] = (twins[same] + n // 2) % n
    return Entries(sets, categories, added, twins)


def draw_matches(random: np.random.Generator, hits: _Ints, start: int, entries: Entries) -> Matches:
    """Say which entries were hit: few very often, some mostly at one party, some two at once."""
    day, party, hash_type, hour = (np.repeat(axis, hits[hits > 0]) for axis in np.nonzero(hits))
    n, total = len(day), len(entries)
    when = start + day * DAY + hour * HOUR + random.integers(0, HOUR, n)
    order = np.argsort(when, kind="stable")
    when, party, hash_type = when[order], party[order], hash_type[order]
    popularity = np.cumsum(1 / (np.arange(total) + 30.0) ** 1.35)
    place = np.minimum(np.searchsorted(popularity, random.random(n) * popularity[-1]), total - 1)
    local = random.random(n) < 0.35
    place = np.where(local, (place + party * (total // PARTIES)) % total, place)
    entry = random.permutation(total)[place]
    entry = known_by(entry, when, entries)
    distance = np.where(hash_type == 2, np.minimum(random.geometric(0.16, n) - 1, 31), 0)
    twin = known_by(entries.twins[entry], when, entries)
    second = np.flatnonzero((random.random(n) < 0.11) & (twin != entry))
    further = np.where(
        hash_type[second] == 2, np.minimum(distance[second] + random.integers(0, 6, len(second)), 31), 0
    )
    rows = np.concatenate([np.arange(n), second])
    rank = np.concatenate([np.zeros(n, np.int64), np.ones(len(second), np.int64)])
    order = np.lexsort((rank, rows))
    rows, rank = rows[order], rank[order]
    entry = np.concatenate([entry, twin[second]])[order]
    distance = np.concatenate([distance, further])[order]
    return Matches(when[rows], party[rows] + 1, hash_type[rows], entry, distance, rank, rows)


def known_by(entry: _Ints, when: _Ints, entries: Entries) -> _Ints:
    """The same entries, but older ones (of the first set) for those that had not come in yet."""
    return np.where(entries.added[entry] <= when, entry, entry % int((entries.sets == 0).sum()))


def add_parties(ledger: Ledger, start: int, joined: _Ints) -> None:
    """Parties with keys that nobody knows, added two days before their first check."""
    admin = PartyAdmin(ledger, "tools/generate_year.py")
    for number, day in enumerate(joined.tolist()):
        name = f"Provider {chr(ord('A') + number)}"
        admin.add(name)
        created = max(start + 9 * HOUR, start + (day - 2) * DAY + 9 * HOUR)
        with ledger.transaction() as connection:
            connection.execute("UPDATE parties SET created = ? WHERE name = ?", (created, name))
            connection.execute("UPDATE keys SET created = ?1 WHERE party = ?2", (created, number + 1))


class bulk_connection:
    """A connection that writes fast and would lose everything in a crash."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
            self._connection.execute(f"PRAGMA {pragma}")

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN")
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()


def insert(connection: sqlite3.Connection, table: str, columns: list[Any]) -> None:
    """Add rows, given as columns: arrays or lists of one length."""
    marks = ", ".join("?" * len(columns))
    for at in range(0, len(columns[0]), _CHUNK):
        parts = [column[at : at + _CHUNK] for column in columns]
        lists = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", zip(*lists, strict=True))


def words(names: Any, codes: _Ints) -> NDArray[np.object_]:
    """Names for codes."""
    return np.array(list(names), object)[codes]


def write_counts(
    connection: sqlite3.Connection, random: np.random.Generator, start: int, checked: _Ints, hits: _Ints
) -> None:
    """One row an hour, party and type."""
    by_hour = checked.transpose(0, 3, 1, 2)
    day, hour, party, hash_type = np.nonzero(by_hour)
    sums = by_hour[by_hour > 0]
    invalid = random.poisson(sums * 2e-7)
    requests = -(-sums // 4000)
    columns = [start // HOUR + day * 24 + hour, party + 1, words(TYPES, hash_type), requests, sums]
    insert(connection, "counts", [*columns, hits.transpose(0, 3, 1, 2)[by_hour > 0], invalid])


def write_entries(connection: sqlite3.Connection, entries: Entries, matches: Matches) -> _Ints:
    """Rows for the entries that were hit, in order of their first hit; int64[n]: their numbers."""
    hit, first = np.unique(matches.entry, return_index=True)
    order = np.argsort(first, kind="stable")
    hit, first = hit[order], first[order]
    numbers = np.zeros(len(entries), np.int64)
    numbers[hit] = np.arange(1, len(hit) + 1)
    ids = [entries.name(entry) for entry in hit.tolist()]
    category = words([name or None for name in CATEGORIES], entries.categories[hit])
    columns = [numbers[hit], words(SETS, entries.sets[hit]), [f"id:{one}" for one in ids], ids, category]
    insert(connection, "entries", [*columns, entries.added[hit], matches.time[first]])
    return numbers


def write_hits(connection: sqlite3.Connection, matches: Matches, numbers: _Ints, start: int) -> None:
    """One row a match; the store is published anew every week."""
    generation = 1 + (matches.time - start) // (7 * DAY)
    ids = np.arange(1, len(matches.time) + 1)
    for at in range(0, len(ids), _CHUNK):
        part = slice(at, at + _CHUNK)
        requests = [f"2c0f6a-{request:x}" for request in matches.request[part].tolist()]
        columns = [ids[part], matches.time[part], matches.party[part], requests, generation[part]]
        columns += [words(TYPES, matches.type[part]), numbers[matches.entry[part]]]
        insert(connection, "matches", [*columns, matches.distance[part], matches.rank[part]])


def write_sums(connection: sqlite3.Connection, entries: Entries, matches: Matches, numbers: _Ints) -> None:
    """`hit_days` and `sightings`, as the writer of the ledger would have summed them."""
    day = matches.time // DAY
    sets, categories = entries.sets[matches.entry], entries.categories[matches.entry]
    columns = [day, matches.party, sets, categories, matches.type, matches.distance]
    groups, which, counts = grouped(columns, [int(column.max()) + 1 for column in columns])
    hits = np.bincount(which, weights=matches.rank == 0).astype(np.int64)
    named = [groups[0], groups[1], words(SETS, groups[2]), words(CATEGORIES, groups[3]), words(TYPES, groups[4])]
    insert(connection, "hit_days", [*named, groups[5], hits, counts])
    months = (matches.time.astype("datetime64[ms]").astype("datetime64[M]")).astype(np.int64)
    columns = [months, numbers[matches.entry], matches.party]
    groups, which, counts = grouped(columns, [int(column.max()) + 1 for column in columns])
    first = np.full(len(counts), np.iinfo(np.int64).max)
    last = np.zeros(len(counts), np.int64)
    np.minimum.at(first, which, matches.time)
    np.maximum.at(last, which, matches.time)
    insert(connection, "sightings", [*groups, first, last, counts])


def grouped(columns: list[_Ints], sizes: list[int]) -> tuple[list[_Ints], _Ints, _Ints]:
    """The distinct rows of some columns, which of them each row is, and how many rows each has."""
    code = np.zeros(len(columns[0]), np.int64)
    for column, size in zip(columns, sizes, strict=True):
        code = code * size + column
    codes, which, counts = np.unique(code, return_inverse=True, return_counts=True)
    groups: list[_Ints] = []
    for size in reversed(sizes):
        groups.insert(0, codes % size)
        codes = codes // size
    return groups, which, counts


def write_store(
    folder: Path, random: np.random.Generator, entries: Entries, sizes: dict[str, int], start: int
) -> None:
    """The sets, with random MD5 values."""
    with Store(folder) as store:
        at = 0
        for name, size in sizes.items():
            digests = random.integers(0, 256, (size, HASH_TYPES["md5"].width), np.uint8)
            codes = np.where(entries.categories[at : at + size] == 3, -1, entries.categories[at : at + size])
            categories = Categories(codes.astype(np.int32), list(CATEGORIES[:3]))
            ids = Strings.of([entries.name(entry).encode() for entry in range(at, at + size)])
            rows = Rows(np.arange(1, size + 1), {"md5": HashColumn(digests)}, categories, ids)
            store.load(name, [rows], LoadOptions(role="match"), now=start / 1000)
            at += size
        with Ledger(folder) as ledger:
            find_unaudited(ledger, store)


def write_reports(file: Path, random: np.random.Generator, start: date, days: int, joined: _Ints) -> None:
    """URLs reported to the hotline, by week, at our parties and 30 providers that never connect."""
    names = [f"Provider {chr(ord('A') + number)}" for number in range(PARTIES)]
    names += [f"Unconnected {number:02}" for number in range(1, 31)]
    level = random.lognormal(2.3, 0.9, len(names))
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["date", "provider", "urls"])
        writer.writerows(_report_rows(random, start, days, joined, names, level))


def _report_rows(
    random: np.random.Generator, start: date, days: int, joined: _Ints, names: list[str], level: _Floats
) -> Iterator[tuple[str, str, int]]:
    for week in range(days // 7):
        season = 1 + 0.25 * np.sin(week / 52 * 2 * np.pi)
        for number, name in enumerate(names):
            connected = number < PARTIES and week * 7 >= joined[number] - 2
            mean = level[number] * season * (EFFECT if connected else 1.0)
            urls = int(random.poisson(mean * random.gamma(4, 1 / 4)))
            if urls:
                yield (start + timedelta(days=week * 7)).isoformat(), name, urls


def main() -> None:
    parser = argparse.ArgumentParser(description="Make up a year of the model service.")
    parser.add_argument("folder", type=Path, help="data folder to make")
    parser.add_argument("--year", type=int, default=2020)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the year's checks, hits and entries")
    chosen = parser.parse_args()
    begun = time.monotonic()
    generate(chosen.folder, year=chosen.year, seed=chosen.seed, scale=chosen.scale)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"{chosen.folder} holds the year {chosen.year}, made in {time.monotonic() - begun:.0f} s ({made})")


if __name__ == "__main__":
    main()
