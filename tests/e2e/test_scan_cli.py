"""`hashserver scan` on real trees, against a real server."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from serving import Server, eventually, finish, free_port, load, run, serving, start


@pytest.fixture
def server(police: Server) -> Server:
    return police


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def scan(tree: Path, server: Server, *options: object, cwd: Path | None = None):
    here = cwd or tree.parent
    return run("scan", tree, "--server", server.url, "--state", here / "state", *options, cwd=here)


def plant(tree: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = os.fsencode(tree) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    return tree


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(keepends=True)))


def test_a_tree_is_scanned_and_the_next_scan_reads_only_what_is_new(tmp_path: Path, server: Server) -> None:
    tree = plant(tmp_path / "tree", {"a.txt": b"known", "sub/b.txt": b"harmless", "sub/deep/c.txt": b"also known"})
    first = scan(tree, server)
    assert first.code == 1, first.err
    assert [(Path(row["path"]).name, row["id"], row["type"]) for row in rows(first.out)] == [
        ("a.txt", "F-1", "md5"),
        ("c.txt", "F-2", "md5"),
    ]
    assert "3 files: 3 hashed" in first.err
    plant(tree, {"new.txt": b"new"})
    second = scan(tree, server)
    assert "4 files: 1 hashed" in second.err
    assert "; 1 asked about, 2 matched" in second.err
    assert second.out == first.out
    (tree / "a.txt").unlink()
    assert len(rows(scan(tree, server).out)) == 1


def test_all_is_asked_about_again_when_the_server_has_a_newer_generation(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", md5(b"known"))
    tree = plant(tmp_path / "tree", {"later": b"later", "other": b"other"})
    with serving(data) as server:
        assert scan(tree, server).code == 0
        load(data, "police", f"{md5(b'known')}\n{md5(b'later')}\n")
        eventually(lambda: server.client().get("/readyz").json()["generation"] == 2)
        again = scan(tree, server)
    assert again.code == 1
    assert "2 files: 0 hashed" in again.err
    assert [Path(row["path"]).name for row in rows(again.out)] == ["later"]


def test_names_of_every_kind_do_no_harm(tmp_path: Path, server: Server) -> None:
    names = ["=cmd().jpg", "a,b.txt", 'quo"te', "new\nline", "caf\udce9", "-dash", "spa ce", "\u00e9t\u00e9"]
    tree = plant(tmp_path / "tree", dict.fromkeys(names, b"known"))
    for suffix in ("csv", "jsonl", "parquet"):
        report = tmp_path / f"hits.{suffix}"
        ran = scan(tree, server, "--report", report)
        assert ran.code == 1, ran.err
    paths = [row["path"] for row in rows((tmp_path / "hits.csv").read_bytes().decode())]
    assert len(paths) == len(names)
    assert all(path.isprintable() and not path.startswith(("=", "-")) for path in paths)
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text().splitlines()]
    assert {Path(line["path"]).name for line in lines} == {name.replace("\udce9", "\\xe9") for name in names}
    table = pq.read_table(tmp_path / "hits.parquet")
    assert table.column("path").to_pylist() == [line["path"] for line in lines]
    assert table.column("distance").to_pylist() == [0] * len(names)


def test_links_filters_and_unreadable_files(tmp_path: Path, server: Server) -> None:
    tree = plant(
        tmp_path / "tree", {"a.jpg": b"known", "b.txt": b"known", "skip/c.jpg": b"known", "old.jpg": b"known"}
    )
    outside = plant(tmp_path / "outside", {"linked.jpg": b"known"})
    (tree / "link").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    (tree / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tree / "pipe.jpg")
    os.utime(tree / "old.jpg", (1, 1))

    def found(*options: str) -> list[str]:
        ran = scan(tree, server, *options)
        return sorted(Path(row["path"]).name for row in rows(ran.out))

    assert found() == ["a.jpg", "b.txt", "c.jpg", "old.jpg"]
    assert found("--include", "*.jpg", "--exclude", "skip") == ["a.jpg", "old.jpg"]
    assert found("--newer-than", "1h") == ["a.jpg", "b.txt", "c.jpg"]
    assert found("--follow-links") == ["a.jpg", "b.txt", "c.jpg", "linked.jpg", "old.jpg"]


def test_re_encoded_pictures_are_found_where_a_set_has_perceptual_hashes(tmp_path: Path) -> None:
    coarse = Image.fromarray(np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8))
    original = coarse.resize((600, 400), Image.Resampling.BICUBIC)
    (tmp_path / "tree").mkdir()
    original.save(tmp_path / "known.png")
    original.resize((300, 200)).save(tmp_path / "tree" / "copy.jpg", quality=80)
    listed = run("hash", tmp_path / "known.png", cwd=tmp_path)
    assert listed.code == 0
    data = tmp_path / "data"
    load(data, "pictures", listed.out)
    with serving(data) as server:
        ran = scan(tmp_path / "tree", server)
    assert ran.code == 1, ran.err
    assert {row["type"] for row in rows(ran.out)} <= {"pdq", "phash"}
    assert "pdq" in {row["type"] for row in rows(ran.out)}


def test_the_hook_gets_each_hit_once(tmp_path: Path, server: Server) -> None:
    tree = plant(tmp_path / "tree", {"a.txt": b"known", "b.txt": b"harmless"})
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ncat >> {tmp_path}/hits.json\necho >> {tmp_path}/hits.json\n")
    hook.chmod(0o755)
    for _ in range(2):
        scan(tree, server, "--on-hit", hook)
    told = [json.loads(line) for line in (tmp_path / "hits.json").read_text().splitlines()]
    assert [(Path(hit["path"]).name, hit["set"], hit["id"]) for hit in told] == [("a.txt", "police", "F-1")]
    failing = scan(plant(tmp_path / "more", {"c.txt": b"also known"}), server, "--on-hit", "false", cwd=tmp_path)
    assert failing.code == 4
    assert "exit code 1" in failing.err
    assert "1 matches not taken" in failing.err


def test_kill_9_loses_nothing_and_the_next_scan_goes_on(tmp_path: Path, server: Server) -> None:
    files = {f"{number % 40}/{number}": b"%d" % number for number in range(6000)}
    tree = plant(tmp_path / "tree", files | {"known": b"known"})
    process = start(
        "scan", tree, "--server", server.url, "--state", tmp_path / "state", "--max-read-rate", "3k", cwd=tmp_path
    )
    state = tmp_path / "state-wal"
    eventually(lambda: state.exists() and state.stat().st_size > 200_000)
    process.send_signal(signal.SIGKILL)
    finish(process)
    ran = scan(tree, server)
    hashed = int(ran.err.split(" hashed ")[0].rpartition(" ")[2].replace(",", ""))
    assert 0 < hashed < 6001
    assert "6,001 files" in ran.err
    assert [Path(row["path"]).name for row in rows(ran.out)] == ["known"]


@contextmanager
def hanging_up(port: int) -> Iterator[list[object]]:
    """In the place of a server: take connections and close them; what has been taken so far."""
    asked: list[object] = []

    def take() -> None:
        with suppress(OSError):
            while True:
                connection, address = listener.accept()
                connection.close()
                asked.append(address)

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", md5(b"known"))
    tree = plant(tmp_path / "tree", {f"{number}": b"%d" % number for number in range(400)} | {"known": b"known"})
    port = free_port()
    with serving(data, port=port) as server:
        process = start(
            "scan",
            tree,
            "--server",
            server.url,
            "--state",
            tmp_path / "state",
            "--max-read-rate",
            "400",
            cwd=tmp_path,
        )
        eventually(lambda: (tmp_path / "state-wal").exists() and (tmp_path / "state-wal").stat().st_size > 4000)
    with hanging_up(port) as asked:
        eventually(lambda: len(asked) > 2)
    with serving(data, port=port):
        ran = finish(process)
    assert ran.code == 1, ran.err
    assert [Path(row["path"]).name for row in rows(ran.out)] == ["known"]


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, server: Server) -> None:
    tree = plant(tmp_path / "tree", {"a": b"a"})
    for options, words in (
        (["--report", "hits.pdf"], "must end in one of"),
        (["--type", "md4"], "cannot be computed"),
        (["--newer-than", "yesterday"], "such as 30s, 15m, 6h or 30d"),
        (["--max-read-rate", "fast"], "such as 50M"),
        (["--state", tree / "a"], "not the state of a scan"),
    ):
        plant(tree, {"a": b"no database at all, only text" * 100})
        ran = run("scan", tree, "--server", server.url, *options, cwd=tmp_path)
        assert ran.code == 2, (options, ran.err)
        assert words in " ".join(ran.err.replace("│", " ").split())
    missing = run("scan", tmp_path / "nowhere", "--server", server.url, cwd=tmp_path)
    assert missing.code == 2
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = run("scan", tree, "--server", f"http://127.0.0.1:{closed.getsockname()[1]}", cwd=tmp_path)
    assert away.code == 3
    assert "cannot be reached" in away.err
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        mute = run("scan", tree, "--server", url, "--patience", 1, cwd=tmp_path)
        assert time.monotonic() - began < 30
    assert mute.code == 3
    assert "no complete answer within 5 s" in mute.err


def test_the_old_name_of_the_option_for_hash_types_still_works(tmp_path: Path, server: Server) -> None:
    tree = plant(tmp_path / "tree", {"a.txt": b"known"})
    assert scan(tree, server, "--hash", "md5").code == 1
    assert scan(tree, server, "--hash", "sha1", "--allow-empty").code == 0
    assert "--hash" not in run("scan", "--help", cwd=tmp_path).out


def test_a_slow_picture_is_counted_and_the_scan_goes_on(tmp_path: Path, server: Server) -> None:
    tree = plant(tmp_path / "tree", {"a": b"known"})
    # Seven seconds of work; the other file takes a twentieth of one.
    Image.new("I;16", (12_000, 12_000)).save(tree / "slow.png", compress_level=1)
    options = ("--type", "md5,pdq", "--file-timeout", "2")
    ran = scan(tree, server, *options)
    told = [(Path(row["path"]).name, row["set"], row["not_looked_at"]) for row in rows(ran.out)]
    assert told == [("a", "police", ""), ("slow.png", "", "too-slow")], ran.err
    assert "slow.png: decoding the picture took longer than 2 s" in ran.err
    assert "2 files: 1 hashed" in ran.err
    assert "1 not looked at (1 too slow)" in ran.err
    assert ran.code == 4
    again = scan(tree, server, *options, "--json", "--accept", "too-slow")
    summary = json.loads(again.err.splitlines()[-1])
    assert (summary["hashed"], summary["unchanged"], summary["not_looked_at"]) == (0, 1, {"too-slow": 1})
    assert (again.code, summary["complete"], summary["matched"]) == (1, True, 1)
    assert [line["not_looked_at"] for line in again.lines] == [None, "too-slow"]


def test_a_picture_decoded_fast_is_decoded_again_for_a_scan_that_does_not(tmp_path: Path) -> None:
    coarse = Image.fromarray(np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8))
    (tmp_path / "tree").mkdir()
    coarse.resize((3000, 2000), Image.Resampling.BICUBIC).save(tmp_path / "tree" / "a.jpg")
    listed = [
        run("hash", tmp_path / "tree" / "a.jpg", *options, cwd=tmp_path) for options in ([], ["--fast-decode"])
    ]
    data = tmp_path / "data"
    load(data, "pictures", listed[0].out)
    with serving(data) as server:
        for options, hashed in ((["--fast-decode"], 1), (["--fast-decode"], 0), ([], 1), (["--fast-decode"], 0)):
            ran = scan(tmp_path / "tree", server, "--type", "md5,pdq", *options)
            assert ran.code == 1, ran.err
            assert f"1 files: {hashed} hashed" in ran.err
            pdq = next(row for row in rows(ran.out) if row["type"] == "pdq")
            assert int(pdq["distance"]) <= 10
    assert listed[0].out.splitlines()[1].split(",")[:3] == listed[1].out.splitlines()[1].split(",")[:3]
