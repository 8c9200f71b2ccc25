"""Group commit: exact under many requests at once, honest when it fails, and prompt with counts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select as readable

import orjson
import pytest
from ledger_rows import NOW, put, row
from serving import eventually

from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.committer import Committer
from hashserver.ledger.fold import SLICE, fold
from hashserver.ledger.schema import VERSION
from hashserver.ledger.writer import LedgerWriter, TypeCounts


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path) -> None:
    """Writers never make the ledger that they write."""
    Ledger(tmp_path, create=True).close()


@pytest.fixture
def writer(runner: asyncio.Runner, tmp_path: Path, _ledger: None) -> Iterator[LedgerWriter]:
    made = runner.run(LedgerWriter.start(tmp_path))
    yield made
    runner.run(made.close())


async def becomes(holds: Callable[[], object], within: float = 60.0) -> float:
    """Wait until something is true, while the writer goes on; returns the seconds.

    A turn counts as 50 ms at most: what takes longer was held up by other work on this machine.
    """
    spent, began = 0.0, time.monotonic()
    while not holds():
        assert spent < within, f"not within {within} s"
        await asyncio.sleep(0.01)
        ended = time.monotonic()
        spent, began = spent + min(ended - began, 0.05), ended
    return spent


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


def test_a_hit_is_on_disk_when_it_is_recorded(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    async def record() -> None:
        for turn in range(50):
            await writer.record(1, [row(f"r{turn}")], {"md5": TypeCounts(1, 1)})
            inbox = select(tmp_path, "SELECT coalesce(sum(matches), 0) FROM inbox")[0][0]
            assert inbox + select(tmp_path, "SELECT count(*) FROM matches")[0][0] == turn + 1

    runner.run(record())


def test_many_at_once_share_commits_and_counts_are_exact(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    async def record_all() -> None:
        await asyncio.gather(
            *(
                writer.record(turn % 3, [row(f"r{turn}"), row(f"r{turn}", rank=1)], {"md5": TypeCounts(10, 1, 2)})
                for turn in range(3000)
            )
        )
        writer.count(0, {"sha1": TypeCounts(7)})
        await writer.close()

    runner.run(record_all())
    with Ledger(tmp_path) as ledger:
        commits = ledger.connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
        fold(ledger)
    assert 0 < commits < 300, "requests share commits"
    found = select(tmp_path, "SELECT request, count(*) FROM matches GROUP BY request")
    assert found == [(request, 2) for request in sorted(f"r{turn}" for turn in range(3000))]
    parties = [(number, "md5", 1000, 10_000, 1000, 2000) for number in range(3)]
    assert select(tmp_path, SUMS) == [parties[0], (0, "sha1", 1, 7, 0, 0), *parties[1:]]


def test_numbers_are_those_of_the_entries_and_stay(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    rows = [row(key="id:b"), row(key="id:a"), row(key="id:b", rank=1)]

    async def record() -> tuple[list[int], list[int]]:
        plain = await writer.record(1, [row(key="id:c")], {})
        assert plain == []
        first = await writer.record(1, rows, {}, numbered=True)
        asked = writer.record(1, [row(key="id:c"), *rows], {}, numbered=True)
        given, unasked, second = await asyncio.gather(
            writer.record(1, rows[:1], {}, numbered=True), writer.record(1, [row(key="id:d")], {}), asked
        )
        assert (given, unasked) == (first[:1], [])
        return first, second

    first, second = runner.run(record())
    assert first[0] == first[2] != first[1]
    assert second[1:] == first
    known = dict(select(tmp_path, "SELECT key, id FROM entries"))
    assert [known["id:b"], known["id:a"]] == first[:2]


def test_a_request_that_nobody_waits_for_is_recorded_and_holds_nobody_up(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    async def give_up() -> list[int]:
        impatient = asyncio.create_task(writer.record(1, [row("gone", key="id:x")], {}, numbered=True))
        await asyncio.sleep(0)
        impatient.cancel()
        return await writer.record(1, [row("here", key="id:y")], {}, numbered=True)

    [number] = runner.run(give_up())
    assert select(tmp_path, "SELECT id, key FROM entries WHERE key = 'id:y'") == [(number, "id:y")]
    assert len(select(tmp_path, "SELECT 1 FROM entries")) == 2


def test_a_commit_that_fails_refuses_those_that_wait_and_keeps_the_counts(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    break_writes(tmp_path)

    async def refused() -> None:
        waiting = [writer.record(1, [row(f"r{turn}")], {"md5": TypeCounts(5, 1)}) for turn in range(40)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, LedgerError)
        writer.count(1, {"md5": TypeCounts(10)})
        assert "broken" in str(writer.trouble)
        await asyncio.sleep(1)  # counts have failed as well by now

    async def goes_on() -> None:
        await becomes(lambda: writer.trouble is None)
        assert select(tmp_path, SUMS) == [(1, "md5", 2, 110, 0, 0)]
        assert select(tmp_path, "SELECT count(*) FROM inbox") == [(0,)]
        await _record_one(writer)
        await writer.close()

    writer.count(1, {"md5": TypeCounts(100)})
    runner.run(refused())
    assert select(tmp_path, SUMS) == []
    mend_writes(tmp_path)
    runner.run(goes_on())
    assert select(tmp_path, SUMS) == [(1, "md5", 3, 111, 1, 0)]


async def _record_one(writer: LedgerWriter) -> None:
    await writer.record(1, [row("after")], {"md5": TypeCounts(1, 1)})


def test_counts_are_on_disk_within_a_second_whether_hits_come_or_not(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while hits never pause, and while the clock goes back."""
    clock = iter(range(NOW + 10_000_000, 0, -1000))
    monkeypatch.setattr("hashserver.ledger.writer.now_ms", lambda: next(clock))

    async def record_without_end() -> None:
        while True:
            await writer.record(2, [row()], {"md5": TypeCounts(1, 1)})

    async def count() -> None:
        await asyncio.sleep(0.5)
        hits: asyncio.Task[None] | None = None
        for turn in range(1, 8):
            writer.count(1, {"md5": TypeCounts(1)})
            wanted = [(turn,)]
            query = "SELECT sum(checked) FROM counts WHERE party = 1"
            await becomes(lambda: select(tmp_path, query) == wanted, 0.95)  # noqa: B023
            if turn == 3:
                hits = asyncio.create_task(record_without_end())
        assert hits is not None
        hits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hits

    runner.run(count())


def test_folding_much_does_not_delay_counts(runner: asyncio.Runner, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, [[row(f"r{turn}", key=f"id:{turn % 3000}") for turn in range(SLICE)]] * 60)

    async def count() -> list[float]:
        writer = await LedgerWriter.start(tmp_path)
        late: list[float] = []
        for turn in range(1, 6):
            writer.count(1, {"md5": TypeCounts(1)})
            wanted = [(turn,)]
            late.append(
                await becomes(lambda: select(tmp_path, "SELECT sum(checked) FROM counts") == wanted)  # noqa: B023
            )
        await writer.close()
        return late

    assert max(runner.run(count())) < 1.0
    left = select(tmp_path, "SELECT count(*) FROM inbox")[0][0]
    assert left < 60, "and it was folding meanwhile"


def test_a_request_with_very_many_matches_is_put_down_in_pieces(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    rows = [row("big", rank=rank) for rank in range(3 * SLICE + 1)]
    runner.run(_record(writer, rows))
    with Ledger(tmp_path) as ledger:
        pieces = [each for (each,) in ledger.connection.execute("SELECT matches FROM inbox")]
        assert all(each <= SLICE for each in pieces)
        fold(ledger)
        assert ledger.connection.execute("SELECT count(*), max(rank) FROM matches").fetchone() == (
            len(rows),
            3 * SLICE,
        )


def test_whatever_stands_in_an_entry_is_recorded_as_it_is(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    odd = ["a\nb", "h 1 [", '"],["', "\u2028 é 漢 \U0001f600", "\x00", ""]
    runner.run(_record(writer, [row("odd", key=f"id:{text}", rank=rank) for rank, text in enumerate(odd)]))
    with Ledger(tmp_path) as ledger:
        fold(ledger)
        found = ledger.connection.execute(
            "SELECT key FROM matches JOIN entries ON entry = entries.id ORDER BY rank"
        )
        assert [key for (key,) in found] == [f"id:{text}" for text in odd]


async def _record(writer: LedgerWriter, rows: list) -> None:  # type: ignore[type-arg]
    await writer.record(1, rows, {"md5": TypeCounts(1, 1)})


def test_hits_are_recorded_though_the_inbox_cannot_be_folded(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("INSERT INTO inbox (matches, hits) VALUES (1, 'damaged')")

    async def record() -> None:
        for _ in range(2):
            await asyncio.wait_for(_record_one(writer), 5)
            await asyncio.sleep(1)  # it is idle, and tries to fold

    runner.run(record())
    assert select(tmp_path, "SELECT count(*) FROM inbox") == [(3,)]
    assert "hits are on disk, but cannot be prepared for reports" in caplog.text


def test_closing_writes_what_is_left_and_refuses_more(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def close() -> LedgerWriter:
        writer = await LedgerWriter.start(tmp_path)
        for _ in range(10):
            writer.count(4, {"md5": TypeCounts(3, 0, 1)})
        recorded = asyncio.create_task(_record_one(writer))
        await asyncio.sleep(0)
        await writer.close()
        await recorded
        return writer

    writer = runner.run(close())
    assert select(tmp_path, SUMS) == [(4, "md5", 10, 30, 0, 10)]
    assert select(tmp_path, "SELECT sum(matches) FROM inbox") == [(1,)]
    with pytest.raises(LedgerError, match="the server is shutting down"):
        runner.run(asyncio.wait_for(_record_one(writer), 5))


def _committer_of(writer: LedgerWriter) -> int:
    [found] = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", f"committer.*{writer._folder}"], capture_output=True, text=True
    ).stdout.split()
    return int(found)


def test_when_its_process_is_killed_those_that_wait_are_refused_and_another_one_starts(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    async def kill() -> tuple[int, int]:
        recorded = refused = 0
        committer = _committer_of(writer)
        for turn in range(400):
            if turn == 100:
                os.kill(committer, signal.SIGKILL)
            if turn == 200:
                assert "ended unexpectedly (code -9)" in str(writer.trouble)
                await becomes(lambda: writer.trouble is None)
                assert _committer_of(writer) != committer
            some = (writer.record(1, [row(f"{turn}-{one}")], {"md5": TypeCounts(1, 1)}) for one in range(3))
            for outcome in await asyncio.gather(*some, return_exceptions=True):
                assert outcome == [] or isinstance(outcome, LedgerError)
                recorded, refused = recorded + (outcome == []), refused + (outcome != [])
        await writer.close()
        return recorded, refused

    recorded, refused = runner.run(kill())
    assert 200 <= recorded < 1200 == recorded + refused
    with Ledger(tmp_path) as ledger:
        fold(ledger)
    [(hits, requests)] = select(tmp_path, "SELECT count(*), count(DISTINCT request) FROM matches")
    assert hits == requests, "none twice"
    assert recorded <= hits <= recorded + 3, "those of the commit under way may be there"


def test_what_was_sent_is_committed_though_the_worker_is_gone(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from pathlib import Path
from ledger_rows import row
from hashserver.ledger.writer import LedgerWriter, TypeCounts

async def main():
    writer = await LedgerWriter.start(Path(sys.argv[1]))
    record = asyncio.create_task(writer.record(1, [row(f"r{turn}") for turn in range(50)], {}))
    await asyncio.sleep(0)
    os._exit(3)

asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment)
    assert ran.returncode == 3
    eventually(lambda: select(tmp_path, "SELECT coalesce(sum(matches), 0) FROM inbox") == [(50,)], 5)
    eventually(
        lambda: not subprocess.run(["pgrep", "-f", f"committer.*{tmp_path}"], capture_output=True).stdout, 5
    )


def test_a_server_that_ends_while_its_process_is_replaced_ends_and_writes_its_counts(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def end() -> None:
        writer = await LedgerWriter.start(tmp_path)
        os.kill(_committer_of(writer), signal.SIGKILL)
        await becomes(lambda: writer.trouble is not None)
        writer.count(1, {"md5": TypeCounts(5)})
        await asyncio.sleep(0.3)  # longer than counts are kept while there is a committer
        await asyncio.wait_for(writer.close(), 10)

    runner.run(end())
    assert select(tmp_path, SUMS) == [(1, "md5", 1, 5, 0, 0)]


def test_counts_are_written_though_the_worker_was_killed_with_answers_unread(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with Ledger(tmp_path) as ledger, theirs:
        ours.sendall(b"c %s\n" % orjson.dumps([(1, 2, "md5", 1, 10, 0, 0)]))
        thread = threading.Thread(target=Committer(ledger, theirs).run)
        thread.start()
        eventually(lambda: readable([ours], [], [], 0)[0])
        ours.close()  # what it said is unread, so its next read fails rather than ends
        thread.join(10)
        assert not thread.is_alive()
    assert select(tmp_path, SUMS) == [(2, "md5", 1, 10, 0, 0)]


def test_a_ledger_that_cannot_be_opened_is_told_at_the_start_and_later(
    runner: asyncio.Runner, writer: LedgerWriter, tmp_path: Path
) -> None:
    runner.run(_record_one(writer))
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="has layout 99"):
        runner.run(LedgerWriter.start(tmp_path))

    async def later() -> None:
        os.kill(_committer_of(writer), signal.SIGKILL)
        await becomes(lambda: "has layout 99" in str(writer.trouble))
        with pytest.raises(LedgerError, match="has layout 99"):
            await _record_one(writer)
        with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
            connection.execute(f"PRAGMA user_version = {VERSION}")
        await becomes(lambda: writer.trouble is None)
        await _record_one(writer)

    runner.run(later())
    with Ledger(tmp_path) as ledger:
        fold(ledger)
    assert select(tmp_path, "SELECT count(*) FROM matches") == [(2,)]


def test_a_committer_starts_without_what_it_does_not_need() -> None:
    script = "import sys, hashserver.ledger.committer; print({'hashcore', 'numpy', 'numba'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_workers_that_write_at_once_add_up(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def all_of_them() -> None:
        writers = [await LedgerWriter.start(tmp_path) for _ in range(3)]
        await asyncio.gather(
            *(
                writer.record(1, [row(f"{number}-{turn}")], {"md5": TypeCounts(1, 1)})
                for turn in range(200)
                for number, writer in enumerate(writers)
            )
        )
        for writer in writers:
            await writer.close()

    runner.run(all_of_them())
    assert select(tmp_path, SUMS) == [(1, "md5", 600, 600, 600, 0)]
    with Ledger(tmp_path) as ledger:
        fold(ledger)
    assert select(tmp_path, "SELECT count(*), count(DISTINCT request) FROM matches") == [(600, 600)]


def test_no_room_is_told_apart(tmp_path: Path) -> None:
    """The committer in this process, where the ledger's size can be bounded."""
    ours, theirs = socket.socketpair()
    with Ledger(tmp_path) as ledger, ours, theirs:
        pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
        ledger.connection.execute(f"PRAGMA max_page_count = {pages}")
        thread = threading.Thread(target=Committer(ledger, theirs).run)
        thread.start()
        ours.sendall(b"h 1 [%s]\ne\n" % orjson.dumps(row("x" * 1_000_000)))
        ours.shutdown(socket.SHUT_WR)
        thread.join(10)
        said = [orjson.loads(line) for line in ours.recv(1 << 16).splitlines()]
    assert said[0] == [0, [], None, None]
    requests, _, (full, words), _ = said[1]
    assert (requests, full) == (1, True)
    assert re.search(r"ledger.sqlite cannot be written \(.*full.*\); make room on its disk", words)
