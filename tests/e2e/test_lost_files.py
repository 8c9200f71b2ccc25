"""Files that are lost close the server and stop commands, and no command makes up for them."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from parties import add_party
from serving import Server, eventually, load, md5_of, port_of, run, serving

KNOWN = f"{md5_of('known')}\n"
BODY = {"md5": [md5_of("known")]}


def is_refused(server: Server, what: str) -> bool:
    """Whether each worker refuses all but /healthz with a sentence."""
    found = []
    for _ in range(4):  # connections go to either worker
        with server.client() as client:
            ready, check = client.get("/readyz"), client.post("/v2/check", json=BODY)
            assert client.get("/healthz").status_code == 200
        refused = ready.status_code == check.status_code == 503
        found.append(refused and what in ready.json()["reason"] and what in check.json()["detail"])
    return all(found)


@pytest.mark.parametrize("name", ["data.mdb", "ledger.sqlite"])
def test_a_file_that_is_lost_under_a_running_server_is_noticed_and_told(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    load(data, "police", KNOWN, "--type", "md5")
    with serving(data, workers=2) as server:
        workers = server.each_worker(lambda client: server.worker_of(port_of(client)))
        with server.client() as client:
            assert len(client.post("/v2/check", json=BODY).json()["matches"]) == 1
        (data / name).rename(tmp_path / "away")
        eventually(lambda: is_refused(server, f"{name} was deleted while it was in use"))
        with server.client() as client:
            assert client.post("/v2/entries", json={"set": "police", "id": "A", **BODY}).status_code == 503
        assert not (data / name).exists()
        assert server.log.count("nothing is answered meanwhile") == 2, "once by each worker"
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: "this worker cannot start" in server.log)
        assert not (data / name).exists()
        assert is_refused(server, f"{name} was deleted while it was in use"), "by the worker that is left"
        (tmp_path / "away").rename(data / name)
        eventually(lambda: not is_refused(server, ""))
        (data / "other").write_bytes((data / name).read_bytes())
        (data / "other").replace(data / name)
        eventually(lambda: is_refused(server, f"{name} was replaced while it was in use"))
        assert "Traceback" not in server.log


def test_nothing_is_served_that_is_not_what_the_folder_had(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", KNOWN, "--type", "md5")
    add_party(data)
    ledger, store = (data / "ledger.sqlite").read_bytes(), (data / "data.mdb").read_bytes()
    for harm, sentence, way_out in (
        (lambda: (data / "ledger.sqlite").unlink(), "ledger.sqlite is missing", "store new-ledger"),
        (lambda: (data / "ledger.sqlite").write_bytes(b""), "ledger.sqlite is empty", "store new-ledger"),
        (lambda: (data / "data.mdb").unlink(), "data.mdb is missing", "store accept"),
        (lambda: (data / "data.mdb").write_bytes(b""), "data.mdb is empty", "store restore"),
    ):
        harm()
        for arguments in (("serve", "--port", 0), ("load", "-", "--set", "new", "--type", "md5")):
            ran = run(*arguments, "--data-dir", data, cwd=tmp_path, stdin=KNOWN.encode())
            assert ran.code == 3, (arguments, ran)
            assert sentence in ran.err
            assert way_out in ran.err
        verified = run("store", "verify", "--data-dir", data, cwd=tmp_path)
        assert (verified.code, sentence.split(" ", 1)[1] in verified.out) == (2, True), verified
        (data / "ledger.sqlite").write_bytes(ledger)
        (data / "data.mdb").write_bytes(store)
    assert run("store", "verify", "--data-dir", data, cwd=tmp_path).code == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_is_named_and_empty_is_taken_for_one_that_is_not_mounted(
    tmp_path: Path, exists: bool
) -> None:
    data = tmp_path / "data"
    if exists:
        data.mkdir()
    for arguments, settings in ((("--data-dir", data), {}), ((), {"HASHSERVER_DATA_DIR": str(data)})):
        ran = run("serve", "--port", 0, *arguments, cwd=tmp_path, env=settings)
        assert ran.code == 2
        assert "its disk may not be mounted" in ran.err
    assert data.exists() == exists
    assert not exists or not list(data.iterdir())


def test_a_new_ledger_keeps_the_server_closed_until_there_is_a_party(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", KNOWN, "--type", "md5")
    (data / "ledger.sqlite").unlink()
    assert run("store", "new-ledger", "--data-dir", data, cwd=tmp_path).code == 2, "it wants to know why"
    assert run("store", "new-ledger", "--because", " ", "--data-dir", data, cwd=tmp_path).code == 2
    made = run("store", "new-ledger", "--because", "of a test", "--data-dir", data, cwd=tmp_path)
    assert (made.code, made.err) == (0, ""), made
    with serving(data) as server, server.client() as client:
        for path in ("/v2/sets", "/metrics"):
            refused = client.get(path)
            assert (refused.status_code, "hashserver party add" in refused.json()["detail"]) == (401, True)
        assert client.post("/v2/check", json=BODY).status_code == 401
        key = add_party(data)
        headers = {"Authorization": f"Bearer {key}"}
        eventually(lambda: client.post("/v2/check", json=BODY, headers=headers).status_code == 200)
    lines = run("report", "audit", "--json", "--data-dir", data, cwd=tmp_path).lines
    assert ("store new-ledger", "of a test") in [(line["action"], line["after"].get("because")) for line in lines]


def test_an_older_store_is_refused_until_somebody_accepts_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", KNOWN, "--type", "md5")
    older = (data / "data.mdb").read_bytes()
    load(data, "more", KNOWN, "--type", "md5")
    (data / "data.mdb").write_bytes(older)
    refused = run("sets", "--data-dir", data, cwd=tmp_path)
    assert (refused.code, "the ledger knows of generation 2" in refused.err) == (3, True), refused
    accepted = run("store", "accept", "--because", "of a test", "--json", "--data-dir", data, cwd=tmp_path)
    assert accepted.json == {"before": 2, "generation": 1}
    assert run("store", "verify", "--data-dir", data, cwd=tmp_path).code == 0
    assert load(data, "more", KNOWN, "--type", "md5")["generation"] == 2
    again = run("store", "accept", "--because", "of a test", "--data-dir", data, cwd=tmp_path)
    assert (again.code, "nothing was changed" in again.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        *("sets", "sets history", "sets remove police", "sets rollback --to 1", "sets withdraw police A"),
        *("sets show police A", "sets quarantine police A", "party list", "party show A", "party disable A"),
        *("party change A --permission report", "party rotate-key A", "party remove-key A 1"),
        *("store backup backup", "store verify", "store prune --keep-hits-days 10", "report usage"),
        *("report audit", "report feedback", "report annual -o report.html"),
        *("store new-ledger --because x", "store accept --because x"),
    ],
)
def test_no_command_makes_a_store_by_looking_for_one(tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    ran = run(*command.split(), "--data-dir", "empty", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, ""), ran
    assert "store" in ran.err
    assert [each.name for each in tmp_path.rglob("*")] == ["empty"]


def test_a_report_is_not_written_over_a_file_of_somebody_else(tmp_path: Path) -> None:
    load(tmp_path / "hashserver-data", "police", KNOWN, "--type", "md5")
    (tmp_path / "police.csv").write_text(KNOWN)
    (tmp_path / "reports.csv").write_text("date,provider,urls\n")
    annual = ("report", "annual", "--year", 2020, "-o", "police.csv")
    for command in (annual, ("report", "effect", "--reports", "reports.csv", "-o", "police.csv")):
        refused = run(*command, cwd=tmp_path)
        assert (refused.code, "nothing was overwritten" in refused.err) == (2, True), refused
    assert (tmp_path / "police.csv").read_text() == KNOWN
    for _ in range(2):  # over our own report
        assert run(*annual[:-1], "report.html", cwd=tmp_path).code == 0
    assert run(*annual, "--force", cwd=tmp_path).code == 0
    assert (tmp_path / "police.csv").read_text() == (tmp_path / "report.html").read_text()
    assert not list(tmp_path.glob(".*"))


def test_a_server_without_parties_answers_this_machine_and_no_proxy(tmp_path: Path) -> None:
    """As README shows it, and as the proxies of docs/install.md pass requests on."""
    data = tmp_path / "data"
    with serving(data) as server, server.client() as client:
        assert client.post("/v2/check", json=BODY).status_code == 200
        for headers, status in (
            ({"Host": "hashes.example", "X-Forwarded-Proto": "https"}, 503),
            ({"X-Forwarded-For": "192.0.2.7"}, 503),
            ({"Host": "hashes.example"}, 403),
            ({"Origin": "http://evil.example"}, 403),
        ):
            for path in ("/v2/check", "/v2/entries"):
                refused = client.post(path, json=BODY, headers=headers)
                assert (refused.status_code, refused.json()["type"]) == (status, "/problems/no-parties")
            assert client.get("/healthz", headers=headers).status_code == 200


def test_a_clock_far_ahead_deletes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", KNOWN, "--type", "md5")
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute("DROP TRIGGER audit_keeps_words")
        connection.execute("UPDATE audit SET time = time - 10 * 365 * 86400000")
    refused = run("store", "prune", "--keep-hits-days", 30, "--data-dir", data, cwd=tmp_path)
    assert (refused.code, "nothing was deleted: this machine's clock" in refused.err) == (3, True), refused
    trusted = run("store", "prune", "--keep-hits-days", 30, "--trust-clock", "--data-dir", data, cwd=tmp_path)
    assert trusted.code == 0, trusted
    assert run("store", "prune", "--keep-hits-days", 30, "--data-dir", data, cwd=tmp_path).code == 0
