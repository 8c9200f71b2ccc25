"""Group commit: exact under many requests at once, honest when it fails, and prompt with counts."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ledger_rows import NOW, put, row
from serving import eventually

from hashserver.ledger import Ledger, LedgerError, LedgerFull
from hashserver.ledger.counts import checked_on
from hashserver.ledger.fold import DAY_MS, SLICE, fold
from hashserver.ledger.writer import LedgerWriter, Tally


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LedgerWriter]:
    made = LedgerWriter(tmp_path)
    yield made
    made.close()


def select(folder: Path, query: str) -> list[tuple[int, ...]]:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return connection.execute(query).fetchall()


SUMS = "SELECT party, type, sum(requests), sum(checked), sum(hits), sum(invalid) FROM counts GROUP BY party, type"


def break_writes(folder: Path) -> None:
    """Whatever is written to the ledger from now on fails, in all processes, as on a full disk."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        for table in ("inbox", "counts", "meta"):
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER broken_{table}_{event} BEFORE {event} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'broken'); END"
                )


def mend_writes(folder: Path) -> None:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        for table in ("inbox", "counts", "meta"):
            for event in ("INSERT", "UPDATE"):
                connection.execute(f"DROP TRIGGER broken_{table}_{event}")


def test_a_hit_is_on_disk_when_it_is_recorded(writer: LedgerWriter, tmp_path: Path) -> None:
    async def record() -> None:
        for turn in range(50):
            await writer.record(1, [row(f"r{turn}")], {"md5": Tally(1, 1)})
            inbox = select(tmp_path, "SELECT coalesce(sum(matches), 0) FROM inbox")[0][0]
            assert inbox + select(tmp_path, "SELECT count(*) FROM hits")[0][0] == turn + 1

    asyncio.run(record())


def test_many_at_once_share_commits_and_counts_are_exact(writer: LedgerWriter, tmp_path: Path) -> None:
    async def record_all() -> None:
        await asyncio.gather(
            *(
                writer.record(turn % 3, [row(f"r{turn}"), row(f"r{turn}", rank=1)], {"md5": Tally(10, 1, 2)})
                for turn in range(3000)
            )
        )

    asyncio.run(record_all())
    writer.count(0, {"sha1": Tally(7)})
    writer.close()
    with Ledger(tmp_path) as ledger:
        commits = ledger.connection.execute("SELECT max(id) FROM inbox").fetchone()[0]
        fold(ledger)
    assert commits < 300, "requests share commits"
    found = select(tmp_path, "SELECT request, count(*) FROM hits GROUP BY request")
    assert found == [(request, 2) for request in sorted(f"r{turn}" for turn in range(3000))]
    parties = [(number, "md5", 1000, 10_000, 1000, 2000) for number in range(3)]
    assert select(tmp_path, SUMS) == [parties[0], (0, "sha1", 1, 7, 0, 0), *parties[1:]]


def test_numbers_are_those_of_the_entries_and_stay(writer: LedgerWriter, tmp_path: Path) -> None:
    rows = [row(key="id:b"), row(key="id:a"), row(key="id:b", rank=1)]

    async def record() -> tuple[list[int], list[int]]:
        plain = await writer.record(1, [row(key="id:c")], {})
        assert plain == []
        first = await writer.record(1, rows, {}, numbered=True)
        return first, await writer.record(1, [row(key="id:c"), *rows], {}, numbered=True)

    first, second = asyncio.run(record())
    assert first[0] == first[2] != first[1]
    assert second[1:] == first
    known = dict(select(tmp_path, "SELECT key, id FROM entries"))
    assert [known["id:b"], known["id:a"]] == first[:2]


def test_a_commit_that_fails_refuses_those_that_wait_and_keeps_the_counts(
    writer: LedgerWriter, tmp_path: Path
) -> None:
    break_writes(tmp_path)

    async def refused() -> None:
        waiting = [writer.record(1, [row(f"r{turn}")], {"md5": Tally(5, 1)}) for turn in range(40)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, LedgerError)

    writer.count(1, {"md5": Tally(100)})
    asyncio.run(refused())
    writer.count(1, {"md5": Tally(10)})
    assert "broken" in str(writer.trouble)
    time.sleep(1)  # counts have failed as well by now
    assert select(tmp_path, SUMS) == []
    mend_writes(tmp_path)
    eventually(lambda: writer.trouble is None, 2)
    assert select(tmp_path, SUMS) == [(1, "md5", 2, 110, 0, 0)]
    assert select(tmp_path, "SELECT count(*) FROM inbox") == [(0,)]
    asyncio.run(_record_one(writer))
    writer.close()
    assert select(tmp_path, SUMS) == [(1, "md5", 3, 111, 1, 0)]


async def _record_one(writer: LedgerWriter) -> None:
    await writer.record(1, [row("after")], {"md5": Tally(1, 1)})


def test_counts_are_on_disk_within_a_second_whether_hits_come_or_not(
    writer: LedgerWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while hits never pause, and while the clock goes back."""
    clock = iter(range(NOW + 10_000_000, 0, -1000))
    monkeypatch.setattr("hashserver.ledger.writer.now_ms", lambda: next(clock))

    async def busy(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await writer.record(2, [row()], {"md5": Tally(1, 1)})

    time.sleep(0.5)
    for turn, seconds in ((1, 0.0), (2, 0.95), (3, 0.95)):
        writer.count(1, {"md5": Tally(1)})
        asyncio.run(busy(seconds))
        if not seconds:
            time.sleep(0.95)
        assert select(tmp_path, "SELECT sum(checked) FROM counts WHERE party = 1") == [(turn,)]


def test_folding_much_does_not_delay_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, [[row(f"r{turn}", key=f"id:{turn % 3000}") for turn in range(SLICE)]] * 60)
    writer = LedgerWriter(tmp_path)
    late: list[float] = []
    for turn in range(1, 6):
        writer.count(1, {"md5": Tally(1)})
        began = time.monotonic()
        eventually(lambda turn=turn: select(tmp_path, "SELECT sum(checked) FROM counts") == [(turn,)], 5)
        late.append(time.monotonic() - began)
    writer.close()
    assert max(late) < 1.0
    left = select(tmp_path, "SELECT count(*) FROM inbox")[0][0]
    assert left < 60, "and it was folding meanwhile"


def test_a_request_with_very_many_matches_is_put_down_in_pieces(writer: LedgerWriter, tmp_path: Path) -> None:
    rows = [row("big", rank=rank) for rank in range(3 * SLICE + 1)]
    asyncio.run(_record(writer, rows))
    with Ledger(tmp_path) as ledger:
        pieces = [each for (each,) in ledger.connection.execute("SELECT matches FROM inbox")]
        assert all(each <= SLICE for each in pieces)
        fold(ledger)
        assert ledger.connection.execute("SELECT count(*), max(rank) FROM hits").fetchone() == (
            len(rows),
            3 * SLICE,
        )


async def _record(writer: LedgerWriter, rows: list) -> None:  # type: ignore[type-arg]
    await writer.record(1, rows, {"md5": Tally(1, 1)})


def test_hits_are_recorded_though_the_inbox_cannot_be_folded(writer: LedgerWriter, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("INSERT INTO inbox (matches, hits) VALUES (1, 'damaged')")
    for _ in range(2):
        asyncio.run(asyncio.wait_for(_record_one(writer), 5))
        time.sleep(1)  # it is idle, and tries to fold
    assert select(tmp_path, "SELECT count(*) FROM inbox") == [(3,)]


def test_closing_writes_what_is_left_and_refuses_more(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path)
    for _ in range(10):
        writer.count(4, {"md5": Tally(3, 0, 1)})
    writer.close()
    assert select(tmp_path, SUMS) == [(4, "md5", 10, 30, 0, 10)]
    with pytest.raises(LedgerError, match="the server is ending"):
        asyncio.run(asyncio.wait_for(_record_one(writer), 5))


def test_workers_that_write_at_once_add_up(tmp_path: Path) -> None:
    writers = [LedgerWriter(tmp_path) for _ in range(3)]

    async def all_of_them() -> None:
        await asyncio.gather(
            *(
                writer.record(1, [row(f"{number}-{turn}")], {"md5": Tally(1, 1)})
                for turn in range(200)
                for number, writer in enumerate(writers)
            )
        )

    asyncio.run(all_of_them())
    for writer in writers:
        writer.close()
    assert select(tmp_path, SUMS) == [(1, "md5", 600, 600, 600, 0)]
    with Ledger(tmp_path) as ledger:
        fold(ledger)
    assert select(tmp_path, "SELECT count(*), count(DISTINCT request) FROM hits") == [(600, 600)]


def test_no_room_is_told_apart(writer: LedgerWriter, tmp_path: Path) -> None:
    pages = writer._ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    writer._ledger.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerFull, match=r"ledger.sqlite cannot be written \(.*full.*\); make room on its disk"):
        asyncio.run(_record(writer, [row("big", rank=rank) for rank in range(20 * SLICE)]))
    with suppress(sqlite3.Error):
        writer._ledger.connection.execute("PRAGMA max_page_count = 1000000")


def test_the_days_counts_by_party(tmp_path: Path) -> None:
    day = NOW // DAY_MS
    with Ledger(tmp_path) as ledger:
        with ledger.transaction() as connection:
            for hour, party, kind in (
                (-1, 1, "md5"),
                (0, 1, "md5"),
                (23, 1, "pdq"),
                (12, 2, "md5"),
                (24, 1, "md5"),
            ):
                values = (24 * day + hour, party, kind, 1, 10, 1, 3)
                connection.execute("INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        assert checked_on(ledger, day) == {1: 26, 2: 13}
