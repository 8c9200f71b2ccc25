"""Figures of a generated year, and of small ledgers that the writer wrote, against the raw hits."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from unittest.mock import patch

import generate_year
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_model import Model, model_of
from store_model import packed, rows_of

from hashcore import Entry, LoadOptions, Store
from hashcore import hash_type as look_up
from hashserver.ledger import Ledger
from hashserver.ledger.entry_keys import key_of
from hashserver.ledger.fold import fold
from hashserver.ledger.match_row import MatchRow
from hashserver.ledger.writer import LedgerWriter, TypeCounts
from hashserver.reports.figures import Period, Usage, measure
from hashserver.reports.figures.entries import SetEntries
from hashserver.reports.figures.usage import Line

YEAR = Period.of_year(2020)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("year")
    generate_year.generate(folder, scale=0.001)
    return folder


@pytest.fixture(scope="module")
def year(folder: Path) -> Iterator[sqlite3.Connection]:
    with Ledger(folder, read_only=True) as ledger:
        yield ledger.connection


def tables(usage: Usage) -> dict[str, list[Line]]:
    return {
        "month": usage.months,
        "party": usage.parties,
        "set": usage.sets,
        "category": usage.categories,
        "type": usage.types,
        "distance": usage.distances,
    }


def agree(usage: Usage, model: Model) -> None:
    assert (usage.total.hits, usage.total.matches) == (model.hits, model.matches)
    for table, lines in tables(usage).items():
        hits = {line.name: line.hits for line in lines if line.matches}
        assert hits == dict(model.by[table]), table
        assert {line.name: line.matches for line in lines if line.matches} == dict(model.matches_by[table]), table
        if table not in ("type", "distance") and usage.entries is not None:
            distinct = {line.name: line.entries for line in lines if line.matches}
            assert distinct == {name: len(entries) for name, entries in model.entries_by[table].items()}, table


def agree_on_entries(usage: Usage, model: Model, added: dict[int, int]) -> None:
    figures = usage.entries
    assert figures is not None
    assert figures.distinct == usage.total.entries == len(model.repeats)
    assert usage.total.repeats == model.matches - len(model.repeats)
    assert figures.fresh == len(model.fresh) == sum(line.fresh or 0 for line in usage.months)
    assert figures.at_several_parties == sum(len(parties) > 1 for parties in model.parties_of.values())
    for group in figures.parties:
        entries = [entry for entry, parties in model.parties_of.items() if len(parties) == int(group.name)]
        assert (group.entries, group.matches) == (len(entries), sum(model.repeats[entry] for entry in entries))
    assert sum(group.entries for group in figures.parties) == sum(group.entries for group in figures.repeats)
    assert sum(group.matches for group in figures.repeats) == sum(group.matches for group in figures.parties)
    for group in figures.tops:
        assert group.matches == sum(count for _, count in model.repeats.most_common(group.entries))
    days = [(model.first_of[entry] - added[entry]) / 86_400_000 for entry in model.fresh]
    assert figures.median_age_days == (pytest.approx(median(days)) if days else None)
    assert figures.ages[0].entries == sum(day < 1 for day in days)
    assert figures.ages[-1].entries == sum(day >= 1826 for day in days)
    assert sum(group.entries for group in figures.ages) == len(days)
    expected = sorted(model.repeats.items(), key=lambda item: (-item[1], item[0]))[: len(figures.most_repeated)]
    assert [(entry.number, entry.matches) for entry in figures.most_repeated] == expected
    for entry in figures.most_repeated:
        assert entry.parties == len(model.parties_of[entry.number])
        assert entry.last_hit == model.last_of[entry.number]
        assert entry.first_hit == model.first_of[entry.number]


def added_of(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT id, added FROM entries"))


@pytest.mark.parametrize("party", [None, 3])
@pytest.mark.parametrize(
    "period", [YEAR, Period(date(2020, 3, 1), date(2020, 7, 1)), Period(date(2021, 1, 1), date(2021, 2, 1))]
)
def test_a_generated_year_says_what_its_hits_say(
    year: sqlite3.Connection, period: Period, party: int | None
) -> None:
    usage = measure(year, period, party=party)
    model = model_of(year, period, party)
    agree(usage, model)
    agree_on_entries(usage, model, added_of(year))


def test_part_of_a_month_has_figures_but_those_about_entries(year: sqlite3.Connection) -> None:
    period = Period(date(2020, 3, 10), date(2020, 5, 20))
    usage = measure(year, period)
    agree(usage, model_of(year, period))
    assert usage.entries is None
    assert usage.total.entries is usage.total.repeats is None
    assert [line.name for line in usage.months] == ["2020-03", "2020-04", "2020-05"]


def test_checks_sum_up_over_months_parties_and_types(year: sqlite3.Connection) -> None:
    usage = measure(year, YEAR)
    assert usage.total.checked == 18_200_000
    for lines in (usage.months, usage.parties, usage.types):
        assert sum(line.checked or 0 for line in lines) == 18_200_000
        assert sum(line.invalid or 0 for line in lines) == usage.total.invalid
    assert usage.total.per_million == pytest.approx(7400 / 18.2)
    hits = year.execute("SELECT sum(hits) FROM counts").fetchone()[0]
    assert usage.total.hits == hits


def test_entries_that_never_hit_are_those_of_the_store_that_the_ledger_lacks(
    folder: Path, year: sqlite3.Connection
) -> None:
    hit = dict(year.execute("SELECT set_name, count(*) FROM entries GROUP BY set_name"))
    some = [
        external_id
        for (external_id,) in year.execute("SELECT external_id FROM entries WHERE set_name = 'police' LIMIT 3")
    ]
    with Store(folder) as store:
        store.load("new", [rows_of([{"md5": b"%016d" % number} for number in range(10)])], now=1.0)
        store.load("vouched", [rows_of([{"md5": b"%016d" % 99}])], LoadOptions(role="known-good"), now=1.0)
        with store.read() as snapshot:
            before = measure(year, YEAR, snapshot=snapshot).never_hit
            sizes = {name: entry.entries for name, entry in snapshot.manifest.sets.items()}
        store.withdraw("police", some, now=2.0)
        with store.read() as snapshot:
            after = measure(year, YEAR, snapshot=snapshot).never_hit
            early = measure(year, Period(date(2019, 1, 1), date(2020, 1, 1)), snapshot=snapshot).never_hit
    assert before is not None
    assert after is not None
    assert early is not None
    sets = sorted(hit.keys() | {"new"})
    assert [(line.set, line.entries, line.hit) for line in before] == [
        (name, sizes[name], hit.get(name, 0)) for name in sets
    ]
    assert {line.set: line.never for line in after} == {line.set: line.never for line in before}
    assert next(line.hit for line in after if line.set == "police") == hit["police"] - 3
    assert all(line.hit == 0 for line in early)


ODD_IDS = ('"', "\\", "\0", "a\0b", "\x1f\x7f", "id:1", "hash:00", "é\u2028𝄞", "[1, 2]", "null", " ")


def test_ids_of_any_characters_are_known_again(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger, Store(tmp_path) as store:
        rows = [{"md5": b"%016d" % number, "id": name} for number, name in enumerate(ODD_IDS)]
        store.load(
            "police", [rows_of([*rows, {"md5": b"no id".ljust(16)}, {"md5": b"not hit".ljust(16)}])], now=1.0
        )
        with store.read() as snapshot:
            hit = snapshot.entries(snapshot.match(look_up("md5"), packed("md5", [row["md5"] for row in rows])))
            keys = [*map(key_of, hit), key_of(Entry("police", None, None, 1.0, b"no id".ljust(16)))]
            with ledger.transaction() as connection:
                values = [("police", key, 0, 1_580_000_000_000) for key in keys]
                statement = "INSERT INTO entries (set_name, key, added, first_hit) VALUES (?, ?, ?, ?)"
                connection.executemany(statement, values)
            never = measure(ledger.connection, YEAR, snapshot=snapshot).never_hit
    assert never == [SetEntries("police", len(ODD_IDS) + 2, len(ODD_IDS) + 1)]


def test_a_year_is_made_whole(year: sqlite3.Connection) -> None:
    """Every table of the generated ledger says the same."""
    sums = [
        "SELECT party, type, time / 3600000, count(*) FROM matches WHERE rank = 0 GROUP BY 1, 2, 3",
        "SELECT party, type, hour, hits FROM counts WHERE hits > 0 ORDER BY 1, 2, 3",
    ]
    assert sorted(year.execute(sums[0]).fetchall()) == year.execute(sums[1]).fetchall()
    sightings = """
        SELECT 600 + strftime('%m', time / 1000, 'unixepoch') - 1,
            entry, party, min(time), max(time), count(*) FROM matches GROUP BY 1, 2, 3
    """
    assert sorted(year.execute(sightings).fetchall()) == year.execute("SELECT * FROM sightings").fetchall()
    wrong = (
        "SELECT count(*) FROM matches JOIN entries ON entry = entries.id WHERE time < added OR time < first_hit"
    )
    assert year.execute(wrong).fetchone()[0] == 0
    unchecked = "SELECT count(*) FROM counts JOIN parties ON party = id WHERE hour * 3600000 < created"
    assert year.execute(unchecked).fetchone()[0] == 0


SETS, CATEGORIES = ("police", "hotline"), ("baseline", None)
# Of each hit its type, and of each entry that matched, nearest first, the number and the distance.
Hit = tuple[str, list[tuple[int, int]]]
sighted = st.tuples(st.integers(0, 6), st.integers(0, 3))
requests = st.lists(
    st.tuples(
        st.integers(0, 100),  # day of the year
        st.integers(0, 2),  # party
        st.lists(
            st.tuples(st.sampled_from(["md5", "pdq"]), st.lists(sighted, min_size=1, max_size=3)), max_size=3
        ),
    ),
    max_size=12,
)


async def write(folder: Path, asked: list[tuple[int, int, list[Hit]]]) -> None:
    Ledger(folder, create=True).close()
    writer = await LedgerWriter.start(folder)
    for day, party, hits in sorted(asked, key=lambda one: one[0]):
        noon = int(timedelta(days=18262 + day, hours=12).total_seconds() * 1000)
        tallies: dict[str, TypeCounts] = {"md5": TypeCounts(10)}
        rows: list[MatchRow] = []
        for hash_type, entries in hits:
            tally = tallies.setdefault(hash_type, TypeCounts())
            tally.checked += 1
            tally.hits += 1
            for rank, (number, distance) in enumerate(entries):
                known = (
                    SETS[number % 2],
                    f"id:{number}",
                    f"{number}",
                    CATEGORIES[number // 2 % 2],
                    1_577_000_000_000,
                )
                rows.append((noon, party, "r", 1, hash_type, distance, rank, *known))
        with patch("hashserver.ledger.writer.now_ms", lambda noon=noon: noon):
            if rows:
                await writer.record(party, rows, tallies)
            else:
                writer.count(party, tallies)
    await writer.close()


@settings(max_examples=30, deadline=None)
@given(requests, st.sampled_from([None, 0, 1]))
def test_what_the_writer_wrote_is_measured_as_it_was(
    asked: list[tuple[int, int, list[Hit]]], party: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write(Path(folder), asked))
        with Ledger(Path(folder), create=True) as ledger:
            fold(ledger)
            for period in (
                YEAR,
                Period(date(2020, 1, 1), date(2020, 3, 1)),
                Period(date(2020, 1, 5), date(2020, 2, 9)),
            ):
                usage = measure(ledger.connection, period, party=party)
                model = model_of(ledger.connection, period, party)
                agree(usage, model)
                if period.is_whole_months:
                    agree_on_entries(usage, model, added_of(ledger.connection))
                mine = [one for one in asked if party in (None, one[1])]
                inside = [
                    one for one in mine if one[0] in range(period.days.start - 18262, period.days.stop - 18262)
                ]
                assert usage.total.checked == sum(10 + len(hits) for _, _, hits in inside)
