"""What a request comes to: charged, matched, recorded, and refused where that cannot be done."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ledger_rows import put, row
from serving import md5_of

from hashcore import Entry, HashColumn, Rows, Strings, hash_type
from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold
from hashserver.ledger.writer import TypeCounts
from hashserver.parties import LOCAL, Party
from hashserver.parties.directory import NotPermitted
from hashserver.parties.limits import OverLimit
from hashserver.server.answers import Answer, NamedMatch
from hashserver.server.bodies.request import Asked, CheckRequest, InvalidHash
from hashserver.server.checks import _rows, check
from hashserver.server.parts import Caller, close_parts, identify, open_parts
from hashserver.server.problems import Problem
from hashserver.settings import Settings

MD5 = hash_type("md5")
KNOWN, UNKNOWN = md5_of("known"), md5_of("unknown")
PARTY = Party(3, "Example", frozenset({"check"}), None, None, 100)


def asked(*hashes: str, invalid: int = 0) -> CheckRequest:
    digests = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 16)
    return CheckRequest([Asked(MD5, digests)], [InvalidHash("md5", 9, "no hash") for _ in range(invalid)])


class Running:
    """Parts and the event loop that they are used on."""

    def __init__(self, runner: asyncio.Runner, settings: Settings) -> None:
        self._runner = runner
        self.parts = runner.run(open_parts(settings))

    def ask(self, party: Party, request: CheckRequest, name: str = "r") -> Answer:
        return self._runner.run(check(self.parts, Caller(party, name), request)).answer

    def close(self) -> None:
        self._runner.run(close_parts(self.parts))


@pytest.fixture
def served(runner: asyncio.Runner, tmp_path: Path) -> Iterator[Running]:
    running = Running(runner, Settings(data_dir=tmp_path / "data"))
    opened = running.parts
    digest = np.frombuffer(bytes.fromhex(KNOWN), np.uint8).reshape(1, 16)
    known = Rows(np.array([1]), {"md5": HashColumn(digest)}, None, Strings.of([b"A-1"]))
    opened.store.load("police", iter([known]), now=1.0)
    opened.store.load("other", iter([known]), now=2.0)
    opened.store.refresh()
    yield running
    running.close()


def select(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return connection.execute(query).fetchall()


def test_all_matches_of_a_hash_are_one_hit_and_the_nearest_has_rank_0() -> None:
    one, two = Entry("police", "baseline", "A-1", 1.5), Entry("other", None, None, 2.0, b"\xab")
    matches = [
        NamedMatch("pdq", 4, b"", 0, [one, two]),
        NamedMatch("pdq", 4, b"", 7, [one]),
        NamedMatch("pdq", 6, b"", 2, [two]),
        NamedMatch("md5", 6, b"", 0, [one]),
    ]
    tallies = {"pdq": TypeCounts(10), "md5": TypeCounts(5)}
    rows = _rows(Caller(PARTY, "r"), Answer(42, {"pdq": 10, "md5": 5}, matches, []), tallies)
    assert tallies == {"pdq": TypeCounts(10, 2), "md5": TypeCounts(5, 1)}
    assert [each[4:7] for each in rows] == [
        ("pdq", 0, 0),
        ("pdq", 0, 1),
        ("pdq", 7, 2),
        ("pdq", 2, 0),
        ("md5", 0, 0),
    ]
    assert rows[0][1:4] == (3, "r", 42)
    assert rows[0][7:] == ("police", "id:A-1", "A-1", "baseline", 1500)
    assert rows[1][7:] == ("other", "hash:ab", None, None, 2000)
    assert len({each[0] for each in rows}) == 1


def test_hits_counts_and_what_could_not_be_read_add_up_and_misses_leave_no_trace(
    served: Running, tmp_path: Path
) -> None:
    answer = served.ask(PARTY, asked(UNKNOWN, KNOWN, KNOWN, invalid=2))
    assert [match.index for match in answer.matches] == [1, 2]
    served.ask(LOCAL, asked(UNKNOWN))
    served.close()
    folder = tmp_path / "data"
    counts = select(folder, "SELECT party, type, requests, checked, hits, invalid FROM counts")
    assert counts == [(0, "md5", 1, 1, 0, 0), (3, "md5", 1, 3, 2, 2)]
    with Ledger(folder, create=True) as ledger:
        fold(ledger)
        assert ledger.connection.execute("SELECT sum(rank = 0), count(*) FROM matches").fetchone() == (2, 4)
    for file in folder.iterdir():
        if file.is_file():
            content = file.read_bytes()
            assert UNKNOWN.encode() not in content
            assert bytes.fromhex(UNKNOWN) not in content


def test_a_subset_of_sets_is_all_that_a_party_is_told_of(served: Running) -> None:
    [match] = served.ask(replace(PARTY, sets=frozenset({"other"})), asked(KNOWN)).matches
    assert [entry.set for entry in match.entries] == ["other"]
    assert served.ask(replace(PARTY, sets=frozenset({"none"})), asked(KNOWN)).matches == []


def test_who_may_not_check_is_refused_and_not_charged(served: Running) -> None:
    with pytest.raises(NotPermitted, match="no permission to check"):
        served.ask(replace(PARTY, permissions=frozenset({"report"})), asked(KNOWN))
    served.ask(PARTY, asked(*[UNKNOWN] * 100))


def test_what_is_refused_for_the_quota_is_neither_answered_nor_recorded(served: Running, tmp_path: Path) -> None:
    served.ask(PARTY, asked(*[UNKNOWN] * 98, invalid=1))
    with pytest.raises(OverLimit):
        served.ask(PARTY, asked(KNOWN, UNKNOWN))
    served.close()
    assert select(tmp_path / "data", "SELECT checked, hits FROM counts") == [(98, 0)]
    assert select(tmp_path / "data", "SELECT count(*) FROM inbox") == [(0,)]


def test_hits_that_cannot_be_recorded_are_refused_and_not_charged_and_misses_go_on(
    served: Running, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "data/ledger.sqlite") as connection:
        connection.execute("CREATE TRIGGER broken BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'broken'); END")
    for _ in range(5):
        with pytest.raises(Problem, match="something matched, but hits cannot be recorded") as refused:
            served.ask(PARTY, asked(*[KNOWN] * 40))
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"] == "10"
    assert served.ask(PARTY, asked(*[UNKNOWN] * 100)).matches == []
    served.close()
    assert select(tmp_path / "data", "SELECT requests, checked, hits FROM counts") == [(1, 100, 0)]


def test_the_days_counts_hold_when_the_file_of_the_limits_is_lost(runner: asyncio.Runner, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    hour = int(time.time() // 3600)
    with Ledger(tmp_path, create=True) as ledger:
        put(ledger, [[row()]])
        with ledger.transaction() as connection:
            connection.execute("INSERT INTO counts VALUES (?, 3, 'md5', 1, 50, 0, 10)", (hour,))
            connection.execute("INSERT INTO counts VALUES (?, 3, 'md5', 1, 1000, 0, 0)", (hour - 24,))
    running = Running(runner, settings)
    opened = running.parts
    try:
        with pytest.raises(OverLimit, match="has 40 left"):
            opened.meter.charge(PARTY, 41)
        allowance = opened.meter.charge(PARTY, 40)
        assert allowance is not None
        assert '"day";r=0;' in allowance.state
    finally:
        running.close()


@pytest.mark.parametrize("given", ["", "x" * 65, "new\nline", "naïve", "\x7f"])
def test_a_request_gets_its_own_id_where_the_clients_is_no_good(served: Running, given: str) -> None:
    first, second = (identify(served.parts, {b"x-request-id": given}).request for _ in range(2))
    assert given != first != second
    assert identify(served.parts, {b"x-request-id": "mine-1"}).request == "mine-1"
