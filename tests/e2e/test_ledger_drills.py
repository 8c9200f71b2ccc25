"""Kills and full disks lose no acknowledged hit, and at most a second of counts."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from ledger_drill import HITS, KNOWN, Load, body, counted, hits_by_request, kill_all, most_within
from serving import Server, eventually, free_port, load, md5_of, run, serving

# Twice as many in `make test-thorough`, which takes its time.
TIMES = 2 if os.environ.get("HASHSERVER_TESTS") == "thorough" else 1
WHOLE_KILLS, WORKER_KILLS = 6 * TIMES, 20 * TIMES
JSON = {"Content-Type": "application/json"}


def workers_of(server: Server) -> list[int]:
    """Worker processes: those children that hold the ledger."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(child) for child in children if _holds_ledger(int(child))]


def _holds_ledger(pid: int) -> bool:
    with suppress(OSError):
        return any("ledger.sqlite" in os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def all_children(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_kill_9_under_load_loses_no_acknowledged_hit_and_a_second_of_counts_at_most(tmp_path: Path) -> None:
    """Single workers, which are replaced, and whole servers, which are started again."""
    data, chance, port = tmp_path / "data", random.Random(5), free_port()
    load(data, "known", "\n".join(KNOWN))
    killed: list[float] = []
    with Load(port, "drill") as clients:
        for turn in range(WHOLE_KILLS):
            with serving(data, workers=2, port=port) as server:
                for _ in range(WORKER_KILLS // WHOLE_KILLS + (turn < WORKER_KILLS % WHOLE_KILLS)):
                    eventually(lambda server=server: len(workers_of(server)) == 2)
                    before = len(clients.answers())
                    eventually(lambda before=before: len(clients.answers()) > before + 15)
                    time.sleep(chance.choice([0.05, 0.4, 1.2]) * chance.random())  # the moment is the test
                    os.kill(chance.choice(workers_of(server)), signal.SIGKILL)
                    killed.append(time.monotonic())
                time.sleep(chance.choice([0.05, 0.4, 1.2]) * chance.random())
                kill_all(server, all_children(server))
                killed.append(time.monotonic())
    assert len(killed) == WHOLE_KILLS + WORKER_KILLS
    found = hits_by_request(data)
    told = [request for each in clients.told for request in each.hits]
    answers = clients.answers()
    assert [text for each in clients.told for text in each.wrong] == []
    assert len(told) > 150 * TIMES, "it was under load"
    missing = [request for request in told if found.get(request) != HITS]
    assert missing == [], f"{len(missing)} of {len(told)} acknowledged requests are not in the ledger as they were"
    assert set(found.values()) == {HITS}, "whole requests only, and none twice"
    sums, checked = counted(data), sum(hashes for _, hashes in answers)
    lost = most_within(1.0 + clients.longest_wait(), answers, killed)
    print(
        f"{len(killed)} kills, {len(told)} hits acknowledged, {sums['checked']} of {checked} counted, bound {lost}"
    )
    assert sums["checked"] >= checked - lost


def most_are_older(clients: Load) -> bool:
    """Whether most answers came before what a kill may lose, and a second more."""
    last = most_within(2.0 + clients.longest_wait(), clients.answers(), [time.monotonic()])
    return last < clients.checked() / 2


def test_a_killed_server_lacks_a_second_of_counts_at_most(tmp_path: Path) -> None:
    """One long run, so that a second is little of it."""
    data, port = tmp_path / "data", free_port()
    load(data, "known", "\n".join(KNOWN))
    with serving(data, workers=2, port=port) as server, Load(port, "long") as clients:
        eventually(lambda: most_are_older(clients))
        kill_all(server, all_children(server))
        killed = time.monotonic()
    checked, lost = clients.checked(), most_within(1.0 + clients.longest_wait(), clients.answers(), [killed])
    print(f"{checked} checked, {counted(data)['checked']} of them counted, bound {lost}")
    assert lost < checked
    assert checked - lost <= counted(data)["checked"]


def test_counts_and_hits_are_exact_when_it_is_told_to_stop(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    load(data, "known", "\n".join(KNOWN))
    with serving(data, workers=2, port=port) as server:
        with Load(port, "stop") as clients:
            eventually(lambda: len(clients.answers()) > 200)
        assert server.stop() == 0
    answers = [hashes for each in clients.told for _, hashes in each.checked]
    told = [request for each in clients.told for request in each.hits]
    assert hits_by_request(data) == dict.fromkeys(told, HITS)
    expected = {"requests": len(answers), "checked": sum(answers), "hits": HITS * len(told), "invalid": 0}
    assert counted(data) == expected


def test_workers_end_with_the_server_that_started_them(tmp_path: Path) -> None:
    """A killed server must not leave workers behind that hold the port."""
    data = tmp_path / "data"
    with serving(data, workers=2) as server:
        eventually(lambda: len(workers_of(server)) == 2)  # the server is ready when one of them is
        workers = workers_of(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        try:
            eventually(lambda: not any(map(_holds_ledger, workers)))
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return ballast


def test_on_a_full_disk_hits_are_refused_misses_go_on_and_nothing_is_lost(small_disk: Path) -> None:
    data = small_disk / "data"
    load(data, "known", "\n".join(KNOWN))
    arguments = ("party", "add", "Example", "--daily-quota", "1000000", "--max-rate", "1000000/s")
    key = run(*arguments, "--data-dir", data, "--json", cwd=small_disk).json["key"]
    hit, miss = body([KNOWN[0], md5_of("unknown")]), body([md5_of("unknown"), md5_of("other")])
    env = {"NUMBA_CACHE_DIR": str(small_disk.parent / "numba")}
    answered = hits = 0
    with (
        serving(data, env=env) as server,
        server.client(headers={"Authorization": f"Bearer {key}", **JSON}) as client,
    ):

        def ask(content: bytes, request: str) -> httpx.Response:
            return client.post("/v2/check", content=content, headers={"X-Request-Id": request})

        assert ask(hit, "before").status_code == 200
        answered, hits = 2, 1
        ballast = fill(small_disk)
        refused = []
        for number in range(2000):  # a little fits into what the files have already
            response = ask(hit, f"full-{number}")
            if response.status_code == 503:
                refused.append(f"full-{number}")
                if len(refused) == 20:
                    break
                continue
            assert response.status_code == 200
            answered, hits = answered + 2, hits + 1
        assert len(refused) == 20
        assert response.headers["retry-after"]
        assert response.headers["content-type"] == "application/problem+json"
        assert "/readyz" in response.json()["detail"]
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "ledger.sqlite cannot be written" in ready.json()["reason"]
        assert "make room" in ready.json()["reason"]
        until = time.monotonic() + 1.5  # longer than counts wait, so that they fail as well
        misses = 0
        while time.monotonic() < until:
            assert ask(miss, "miss").status_code == 200
            misses += 1
            time.sleep(0.01)
        answered += 2 * misses
        ballast.unlink()
        eventually(lambda: client.get("/readyz").status_code == 200)
        last = ask(hit, "after")
        assert last.status_code == 200
        answered, hits = answered + 2, hits + 1
        assert f'"day";r={1_000_000 - answered};' in last.headers["ratelimit"], "what was refused is not charged"
        assert server.stop() == 0
        assert "Traceback" not in server.log
    found = hits_by_request(data)
    assert len(found) == hits
    assert {"before", "after"} <= found.keys()
    assert not found.keys() & set(refused)
    assert counted(data)["checked"] == answered
    assert counted(data)["hits"] == hits


def test_a_load_that_does_not_fit_leaves_room_for_hits_and_gives_back_what_it_took(small_disk: Path) -> None:
    data = small_disk / "data"
    load(data, "known", "\n".join(KNOWN))
    listing = small_disk.parent / "many.md5"
    listing.write_text("".join(f"{number:032x}\n" for number in range(1_500_000)))
    env = {"HASHSERVER_LOAD_MEMORY_BYTES": str(4 << 20)}
    with serving(data, env=env) as server, server.client(headers=JSON) as client:
        free = shutil.disk_usage(small_disk).free
        for _ in range(2):
            ran = run("load", listing, "--set", "many", "--data-dir", data, cwd=small_disk.parent, env=env)
            assert ran.code == 3, ran.err
            assert f"no space left on the disk of {data}" in ran.err
            assert "nothing was changed, and the space that the change had taken was given back" in ran.err
            assert shutil.disk_usage(small_disk).free > free - (4 << 20)
        for number in range(50):
            answer = client.post("/v2/check", content=body([KNOWN[number % len(KNOWN)]]))
            assert answer.status_code == 200
            assert answer.json()["matches"]
        assert client.get("/readyz").json() == {"ready": True, "generation": 1}
        assert server.stop() == 0
