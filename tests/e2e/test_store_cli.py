"""Backups made of a server at work hold what it promised, and nothing half-made looks like one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest
from serving import eventually, finish, load, md5_of, run, serving, start


def listing(*names: str) -> str:
    return "".join(f"{md5_of(name)}  {name}\n" for name in names)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    load(folder, "police", listing("known", "other"))
    return folder


def hits_in(ledger: Path) -> int:
    with sqlite3.connect(f"file:{ledger}?immutable=1", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM matches").fetchone()[0])


def test_a_backup_under_load_is_restored_with_its_sets_hits_and_keys(data: Path, tmp_path: Path) -> None:
    key = run("party", "add", "Host", "--json", "--data-dir", data, cwd=tmp_path).json["key"]
    headers = {"Authorization": f"Bearer {key}"}
    answered, stop = [0], threading.Event()
    with serving(data, workers=2) as server:

        def ask() -> None:
            with server.client(headers=headers) as client:
                while not stop.is_set():
                    body = {"md5": [md5_of("known"), md5_of("unknown")]}
                    assert len(client.post("/v2/check", json=body).json()["matches"]) == 1
                    answered[0] += 1

        def change() -> None:
            number = 0
            while not stop.is_set():
                load(data, "more", listing(*(f"{number}-{n}" for n in range(2000))), "--append")
                number += 1

        threads = [threading.Thread(target=work) for work in (ask, change)]
        for thread in threads:
            thread.start()
        eventually(lambda: answered[0] > 20)
        promised = answered[0]
        ran = run("store", "backup", tmp_path / "backup", "--data-dir", data, "--json", cwd=tmp_path)
        at_the_end = answered[0]
        live = run("store", "verify", "--data-dir", data, "--json", cwd=tmp_path)
        stop.set()
        for thread in threads:
            thread.join()
    assert ran.code == 0, ran.err
    assert (live.code, live.json["problems"]) == (0, [])
    backup = tmp_path / "backup"
    assert {each.name for each in backup.iterdir()} == {"data.mdb", "ledger.sqlite", "key-secret", "manifest.json"}
    assert backup.stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in backup.iterdir())
    verified = run("store", "verify", backup, "--json", cwd=tmp_path)
    assert (verified.code, verified.json["problems"]) == (0, []), verified.err
    assert promised <= verified.json["ledger"]["matches"] <= at_the_end + 1
    assert verified.json["store"]["generation"] == ran.json["generation"] >= 1
    assert {each.name for each in backup.iterdir()} == {"data.mdb", "ledger.sqlite", "key-secret", "manifest.json"}

    restored = tmp_path / "restored"
    done = run("store", "restore", backup, "--data-dir", restored, cwd=tmp_path)
    assert done.code == 0, done.err
    assert hits_in(restored / "ledger.sqlite") == verified.json["ledger"]["matches"]
    with serving(restored) as server, server.client(headers=headers) as client:
        answer = client.post("/v2/check", json={"md5": [md5_of("known"), md5_of("unknown")]}).json()
        assert (answer["generation"], len(answer["matches"])) == (ran.json["generation"], 1)
        assert httpx.post(f"{server.url}/v2/check", json={"md5": []}).status_code == 401


def test_nothing_is_ever_overwritten(data: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert run("store", "backup", backup, "--data-dir", data, cwd=tmp_path).code == 0
    before = {each.name: each.read_bytes() for each in backup.iterdir()}
    again = run("store", "backup", backup, "--data-dir", data, cwd=tmp_path)
    assert again.code == 2
    assert "exists already; nothing was overwritten" in again.err
    assert {each.name: each.read_bytes() for each in backup.iterdir()} == before
    refused = run("store", "restore", backup, "--data-dir", data, cwd=tmp_path)
    assert refused.code == 2
    assert "is not empty; nothing was overwritten" in refused.err
    no_backup = run("store", "restore", data, "--data-dir", tmp_path / "new", cwd=tmp_path)
    assert no_backup.code == 2
    assert "is not a backup" in no_backup.err
    (tmp_path / "empty").mkdir()
    assert run("store", "restore", backup, "--data-dir", tmp_path / "empty", cwd=tmp_path).code == 0
    assert run("sets", "--data-dir", tmp_path / "empty", "--json", cwd=tmp_path).json["sets"][0]["entries"] == 2


@pytest.mark.parametrize("name", ["data.mdb", "ledger.sqlite", "key-secret"])
def test_a_changed_byte_in_any_file_of_a_backup_is_named_and_not_restored(
    data: Path, tmp_path: Path, name: str
) -> None:
    run("party", "add", "Host", "--data-dir", data, cwd=tmp_path)
    backup = tmp_path / "backup"
    assert run("store", "backup", backup, "--data-dir", data, cwd=tmp_path).code == 0
    content = bytearray((backup / name).read_bytes())
    content[-1] ^= 1
    (backup / name).write_bytes(content)
    verified = run("store", "verify", backup, cwd=tmp_path)
    assert verified.code == 2
    assert f"{backup / name} is not what was backed up" in verified.out
    refused = run("store", "restore", backup, "--data-dir", tmp_path / "new", cwd=tmp_path)
    assert refused.code == 3
    assert f"{backup / name} is not what was backed up" in refused.err
    assert not list(tmp_path.glob("*new*"))
    (backup / name).unlink()
    assert f"{backup / name} is missing" in run("store", "verify", backup, cwd=tmp_path).out


def test_a_store_that_is_cut_short_is_a_finding_and_not_a_crash(data: Path, tmp_path: Path) -> None:
    load(data, "many", listing(*(str(n) for n in range(20_000))))
    os.truncate(data / "data.mdb", 40_000)
    verified = run("store", "verify", "--data-dir", data, "--json", cwd=tmp_path)
    assert verified.code == 2, verified.err
    assert not verified.json["ok"]
    assert verified.json["problems"]


def test_a_backup_that_is_killed_leaves_nothing_that_looks_like_one_or_is_in_the_way(
    data: Path, tmp_path: Path
) -> None:
    load(data, "many", listing(*(str(n) for n in range(200_000))))
    backup, unfinished = tmp_path / "backup", tmp_path / ".backup.unfinished"
    killed = 0
    for delay in (0.0, 0.002, 0.004, 0.008):
        process = start("store", "backup", backup, "--data-dir", data, cwd=tmp_path)
        eventually(lambda: unfinished.exists() or backup.exists())
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        finish(process)
        if backup.exists():  # it was faster
            assert run("store", "verify", backup, cwd=tmp_path).code == 0
            shutil.rmtree(backup)
        else:
            killed += 1
            assert run("store", "restore", unfinished, "--data-dir", tmp_path / "new", cwd=tmp_path).code == 2
    assert killed
    assert run("store", "backup", backup, "--data-dir", data, cwd=tmp_path).code == 0
    assert run("store", "verify", backup, cwd=tmp_path).code == 0
    assert not unfinished.exists()


def test_a_running_server_deletes_what_is_older_than_it_shall_keep(data: Path, tmp_path: Path) -> None:
    with serving(data) as server, server.client() as client:
        client.post("/v2/check", json={"md5": [md5_of("known")]})
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        row = json.dumps([[1000, 1, "r", 1, "md5", 0, 0, "police", "id:x", "x", None, 0]])
        connection.execute("INSERT INTO inbox (matches, hits) VALUES (1, ?)", (row,))
    with serving(data, workers=2, env={"HASHSERVER_KEEP_HITS_DAYS": "30"}) as server:
        eventually(lambda: "retention: 1 hits and 0 counts deleted" in server.log)
    pruned = run("store", "prune", "--keep-hits-days", 30, "--data-dir", data, "--json", cwd=tmp_path)
    assert pruned.json == {"hits": 0, "counts": 0}
    assert run("store", "verify", "--data-dir", data, cwd=tmp_path).code == 0
