"""`hashserver scan s3://...` against a real S3 server and a real hash server."""

from __future__ import annotations

import csv
import hashlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from buckets import Storage, storing
from serving import Ran, Server, run


@pytest.fixture
def server(police: Server) -> Server:
    return police


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with storing() as running:
        yield running


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def scan(root: object, server: Server, storage: Storage, here: Path, *options: object, **env: str) -> Ran:
    arguments = ("scan", root, "--server", server.url, "--state", here / "state", *options)
    return run(*arguments, cwd=here, env=storage.environment | env)


def paths(ran: Ran) -> list[str]:
    """What matched: rows without a set name what was not looked at."""
    return [row["path"] for row in csv.DictReader(ran.out.splitlines(keepends=True)) if row["set"]]


def test_a_bucket_is_scanned_and_the_next_scan_reads_only_what_has_changed(
    tmp_path: Path, server: Server, storage: Storage
) -> None:
    storage.fill("first", {"a/1": b"known", "a/2": b"harmless", "b/3": b"also known", "a/folder/": b""})
    first = scan("s3://first", server, storage, tmp_path)
    assert first.code == 1, first.err
    assert paths(first) == ["s3://first/a/1", "s3://first/b/3"]
    assert "3 files: 3 hashed" in first.err
    assert "never-printed" not in first.out + first.err
    second = scan("s3://first", server, storage, tmp_path)
    assert "3 files: 0 hashed" in second.err
    assert second.out == first.out
    # The same size, and for all that a clock of whole seconds can tell the same time.
    storage.fill("first", {"a/2": b"unharmed"})
    assert "3 files: 1 hashed" in scan("s3://first", server, storage, tmp_path).err


def test_no_object_is_written_to_disk(tmp_path: Path, server: Server, storage: Storage) -> None:
    storage.fill("large", {"large": bytes(5 << 20)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))  # the scan inherits it
    try:
        ran = scan("s3://large", server, storage, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "1 files: 1 hashed" in ran.err


def test_keys_of_every_kind(tmp_path: Path, server: Server, storage: Storage) -> None:
    keys = [
        "a b",
        "\u00e9t\u00e9/\u732b.jpg",
        "a,b",
        "q\"uo'te",
        "/lead",
        "x//y",
        "./dot",
        "..",
        "p%41q",
        "+&?#",
        "t/",
    ]
    storage.fill("odd", dict.fromkeys(keys, b"known"))
    report = tmp_path / "hits.jsonl"
    ran = scan("s3://odd", server, storage, tmp_path, "--report", report)
    assert ran.code == 1, ran.err
    found = [json.loads(line)["path"] for line in report.read_text().splitlines()]
    assert sorted(found) == sorted(f"s3://odd/{key}" for key in keys)
    assert paths(scan("s3://odd/x//", server, storage, tmp_path)) == ["s3://odd/x//y"]
    assert paths(scan("s3://odd//l", server, storage, tmp_path)) == ["s3://odd//lead"]


def test_a_listing_of_several_pages_is_read_to_its_end(tmp_path: Path, server: Server, storage: Storage) -> None:
    storage.fill("many", {f"{number:04}": b"%d" % number for number in range(1100)} | {"z": b"known"})
    ran = scan("s3://many/", server, storage, tmp_path)
    assert "1,101 files: 1,101 hashed" in ran.err
    assert paths(ran) == ["s3://many/z"]


def test_filters_prefixes_and_mixed_roots(tmp_path: Path, server: Server, storage: Storage) -> None:
    storage.fill(
        "mixed", dict.fromkeys(["in/a.jpg", "in/b.txt", "in/cache/c.jpg", "in/cache.jpg", "out/d"], b"known")
    )
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "e.jpg").write_bytes(b"known")

    def found(*options: object) -> list[str]:
        ran = scan("s3://mixed/in/", server, storage, tmp_path, tmp_path / "tree", *options)
        return [path.rpartition("/")[2] for path in paths(ran)]

    assert sorted(found()) == ["a.jpg", "b.txt", "c.jpg", "cache.jpg", "e.jpg"]
    assert sorted(found("--include", "*.jpg", "--exclude", "cache")) == ["a.jpg", "cache.jpg", "e.jpg"]
    assert sorted(found("--newer-than", "1h")) == ["a.jpg", "b.txt", "c.jpg", "cache.jpg", "e.jpg"]
    assert found("--newer-than", "0s") == []


def test_what_cannot_be_listed_is_a_sentence_and_exit_code_3(
    tmp_path: Path, server: Server, storage: Storage
) -> None:
    missing = scan("s3://missing", server, storage, tmp_path)
    assert (missing.code, missing.err) == (
        3,
        "hashserver: s3://missing: this bucket does not exist; check its name and AWS_ENDPOINT_URL\n",
    )
    keyless = scan("s3://first", server, storage, tmp_path, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert keyless.code == 3
    assert "no credentials" in keyless.err
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        away = scan("s3://first", server, storage, tmp_path, AWS_ENDPOINT_URL=url)
    assert away.code == 3
    assert "the storage cannot be reached" in away.err
    wrong = scan("s3://first", server, storage, tmp_path, AWS_ENDPOINT_URL="no url")
    assert wrong.code == 3
    assert "check AWS_ENDPOINT_URL" in wrong.err
    profile = scan("s3://first", server, storage, tmp_path, AWS_PROFILE="unknown")
    assert profile.code == 3
    assert "unknown" in profile.err
    assert "Traceback" not in missing.err + keyless.err + away.err + wrong.err + profile.err
    nameless = scan("s3:///key", server, storage, tmp_path)
    assert nameless.code == 2
    assert "names no bucket" in nameless.err


def test_an_anonymous_scan_signs_nothing(tmp_path: Path, server: Server, storage: Storage) -> None:
    storage.fill("public", {"a": b"known"})
    storage.client.put_bucket_acl(Bucket="public", ACL="public-read")
    storage.client.put_object_acl(Bucket="public", Key="a", ACL="public-read")
    keyless = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    ran = scan("s3://public", server, storage, tmp_path, "--anonymous", **keyless)
    assert paths(ran) == ["s3://public/a"], ran.err


def test_objects_that_cannot_be_read_are_counted_and_the_others_are_scanned(
    tmp_path: Path, server: Server, storage: Storage
) -> None:
    storage.fill("partly", {"a": b"known", "c": b"also known"})
    storage.client.put_object(Bucket="partly", Key="b", Body=b"known", StorageClass="GLACIER")
    ran = scan("s3://partly", server, storage, tmp_path)
    assert paths(ran) == ["s3://partly/a", "s3://partly/c"]
    assert "s3://partly/b: it is archived; restore it before the next scan" in ran.err
    assert ran.code == 4
    assert "3 files: 2 hashed" in ran.err
    assert "1 not looked at (1 unreadable)" in ran.err
    again = scan("s3://partly", server, storage, tmp_path)
    assert (again.code, paths(again)) == (4, paths(ran))
