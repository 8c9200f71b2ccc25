"""A scan says "nothing matched" only of what it has looked at, and asks again when it has to."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answering, answering
from PIL import Image

from hashserver.client import Client
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.scan import ScanOptions, ScanResult, SetsDisagree, scan
from hashserver.provider.scanning.state import State
from hashserver.provider.scanning.walk import FoundFile, Mounts, Unseen, WalkOptions, walk
from hashserver.provider.served import NothingServed


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as made:
        made.knows(b"known", b"also known")
        yield made


class Place:
    """A folder to scan, and the state file of its scans."""

    def __init__(self, folder: Path, server: Answering) -> None:
        self.tree, self.state, self.server = folder / "tree", folder / "state", server
        self.tree.mkdir()
        self.matched: list[str] = []
        self.unseen: list[Unseen] = []
        self.told: list[str] = []

    def scan(self, *roots: Path, types: tuple[str, ...] = ("md5",), **options: Any) -> ScanResult:
        """Scan as the command does, and remember what its report would hold."""
        chosen = ScanOptions(frozenset(types), **options)
        self.server.checked.clear()
        self.told = []
        with Client(self.server.url, retries=0) as client, State(self.state) as state:
            result = scan(
                [os.fsencode(root) for root in roots or (self.tree,)],
                client,
                state,
                chosen,
                on_trouble=lambda path, reason: self.told.append(f"{path!r} {reason}"),
            )
            state.forget_unseen()
            self.matched = [Path(os.fsdecode(file.path)).name for file, _ in state.hits()]
            self.unseen = list(state.not_looked_at())
        assert result.files == result.hashed + result.unchanged + result.not_looked_at.total()
        return result

    def plant(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.tree / name).write_bytes(content)


@pytest.fixture
def place(tmp_path: Path, server: Answering) -> Place:
    made = Place(tmp_path, server)
    made.plant(a=b"known", b=b"harmless")
    return made


def test_the_same_state_is_asked_once_and_any_other_again(place: Place, server: Answering) -> None:
    assert place.scan().asked == 2
    assert place.scan().asked == 0
    server.generation, server.state = 0, "b"  # restored, moved, or seen with other sets
    assert place.scan().asked == 2
    assert place.scan().asked == 0
    assert place.matched == ["a"]


def test_other_types_are_asked_about_too(place: Place) -> None:
    place.scan(types=("md5", "pdq"))
    assert place.scan(types=("md5",)).asked == 2
    assert place.scan(types=("md5",)).asked == 0


def test_a_server_that_names_no_state_is_told_by_generation_time_and_address(
    place: Place, server: Answering
) -> None:
    server.state = None
    assert place.scan().asked == 2
    assert place.scan().asked == 0
    server.published = "2026-03-01T05:00:00Z"
    assert place.scan().asked == 2
    server.generation = 2
    assert place.scan().asked == 2
    assert place.scan().asked == 0


def test_a_server_whose_sets_are_ahead_of_its_answers_is_not_asked_for_ever(
    place: Place, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashserver.provider.scanning.scan._PAUSE", 0.01)
    server.answering = "old"
    with pytest.raises(SetsDisagree, match="do several servers"):
        place.scan()
    assert len(server.checked) < 100
    server.answering = None
    assert place.scan().asked == 2
    assert place.matched == ["a"]


def test_a_server_with_nothing_to_compare_with_has_not_looked(place: Place, server: Answering) -> None:
    server.types = ("sha256",)
    with pytest.raises(NothingServed, match="have no md5, only sha256"):
        place.scan()
    server.types = ()
    with pytest.raises(NothingServed, match="no sets to check against"):
        place.scan()
    assert place.scan(allow_empty=True).asked == 2


@pytest.mark.parametrize("how", ["removed", "emptied", "a file"])
def test_a_root_that_is_gone_or_empty_forgets_nothing(place: Place, tmp_path: Path, how: str) -> None:
    place.scan()
    place.tree.rename(tmp_path / "elsewhere")
    if how == "emptied":
        place.tree.mkdir()
    elif how == "a file":
        place.tree.symlink_to("/dev/null")
    result = place.scan()
    assert result.files == (1 if how == "a file" else 0)
    unseen = place.unseen[0]
    assert unseen.path == os.fsencode(place.tree)
    assert unseen.kind == (NotLookedAt.UNREADABLE if how == "a file" else NotLookedAt.MISSING)
    assert len(place.told) == 1
    if how == "a file":
        place.tree.unlink()
    else:
        assert place.matched == ["a"], "the earlier report is not emptied"
        assert result.kept == 2
    if how == "emptied":
        place.tree.rmdir()
    (tmp_path / "elsewhere").rename(place.tree)
    back = place.scan(on_hit=["false"])
    assert place.matched == ["a"]
    assert back.folders.total() == 0


def test_a_root_that_is_meant_to_be_empty_is_accepted(place: Place) -> None:
    place.scan()
    for file in list(place.tree.iterdir()):
        file.unlink()
    assert place.scan(allow_empty=True).folders.total() == 0
    assert place.matched == []
    assert place.scan().folders.total() == 0


def test_a_root_within_a_root_is_not_taken_for_empty(place: Place) -> None:
    (place.tree / "sub").mkdir()
    (place.tree / "sub" / "c").write_bytes(b"also known")
    for roots in ([place.tree, place.tree / "sub"], [place.tree / "sub", place.tree]):
        for _ in range(2):
            assert place.scan(*roots).folders.total() == 0
    assert place.matched == ["a", "c"]


def test_files_below_a_folder_that_cannot_be_read_are_not_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place.tree / "closed"
    closed.mkdir()
    (closed / "c").write_bytes(b"also known")
    place.scan()
    scandir = os.scandir

    def refusing(path: bytes) -> Any:
        if path == os.fsencode(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = place.scan()
    assert (result.files, result.kept, result.folders) == (2, 1, {NotLookedAt.UNREADABLE: 1})
    assert place.matched == ["a", "c"]
    assert place.unseen == [Unseen(os.fsencode(closed), NotLookedAt.UNREADABLE, "Permission denied", True)]


def test_what_the_walk_has_found_and_nobody_can_read_is_counted_by_kind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = walk

    def with_more(*arguments: Any) -> Iterator[FoundFile]:
        yield from found(*arguments)
        yield FoundFile(os.fsencode(place.tree / "vanished"), 1, 0, 0)
        yield FoundFile(os.fsencode(place.tree), 1, 0, 0)  # a folder by now, so it cannot be read

    monkeypatch.setattr("hashserver.provider.scanning.scan.walk", with_more)
    result = place.scan()
    assert result.not_looked_at == {NotLookedAt.VANISHED: 1, NotLookedAt.UNREADABLE: 1}
    assert (result.files, result.hashed) == (4, 2)
    assert {unseen.kind for unseen in place.unseen} == {NotLookedAt.VANISHED, NotLookedAt.UNREADABLE}


def picture(seed: int = 1) -> bytes:
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 14, 3), np.uint8))
    out = io.BytesIO()
    noise.resize((160, 120)).save(out, "PNG")
    return out.getvalue()


def test_pictures_that_cannot_be_decoded_are_counted_at_every_scan_and_asked_about_all_the_same(
    place: Place, server: Answering
) -> None:
    damaged = picture()[:60]
    server.knows(damaged)
    place.plant(damaged=damaged, sound=picture(), tiny=b"GIF89a" + bytes(20), large=b"\0" * 5000)
    for hashed in (4, 0):
        result = place.scan(types=("md5", "pdq"))
        assert result.not_looked_at == {NotLookedAt.NOT_DECODABLE: 2}
        assert (result.hashed, result.unchanged) == (hashed, 4 - hashed)
        assert place.matched == ["a", "damaged"]
        assert [Path(os.fsdecode(unseen.path)).name for unseen in place.unseen] == ["damaged", "tiny"]


def test_a_blank_picture_has_been_looked_at_and_its_hash_is_not_asked(place: Place, server: Answering) -> None:
    out = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(out, "PNG")
    place.plant(white=out.getvalue())
    result = place.scan(types=("md5", "pdq"))
    assert (result.vague, result.not_looked_at.total()) == (1, 0)
    assert all(len(digest) == 32 for digest in server.checked)


def test_a_file_overwritten_in_place_with_its_times_put_back_is_read_again(place: Place) -> None:
    place.scan()
    before = (place.tree / "b").stat()
    with (place.tree / "b").open("r+b") as file:
        file.write(b"also known"[: before.st_size])
    place.server.knows(b"also kno")
    os.utime(place.tree / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (place.tree / "b").stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert place.scan().hashed == 1
    assert place.matched == ["a", "b"]


HOOK = "import sys; open({log!r}, 'ab').write(sys.stdin.buffer.read() + b'\\n'); sys.exit({code})"


def hook(log: Path, code: int = 0) -> list[str]:
    return [sys.executable, "-c", HOOK.format(log=str(log), code=code)]


def test_a_hit_is_told_until_the_hook_has_taken_it_and_never_again(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def told(code: int) -> tuple[int, int]:
        log.write_bytes(b"")
        failures = place.scan(on_hit=hook(log, code)).hook_failures
        return len(log.read_bytes().splitlines()), failures

    assert told(1) == (1, 1)
    assert told(3) == (1, 1)
    assert told(0) == (1, 0)
    assert told(0) == (0, 0)
    os.chmod(place.tree / "a", 0)  # as a hook may do
    assert told(0) == (0, 0)
    place.server.state = "c"
    assert told(0) == (0, 0)
    (place.tree / "a").unlink()
    place.plant(a=b"known")
    os.utime(place.tree / "a", (1, 1))
    assert told(0) == (1, 0), "it is another file"


def test_an_earlier_state_file_keeps_its_hashes_and_not_its_answers(place: Place) -> None:
    status = (place.tree / "a").stat()
    with sqlite3.connect(place.state) as old:
        old.executescript(
            """CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
            inode INTEGER NOT NULL, md5 BLOB, sha1 BLOB, sha256 BLOB, pdq BLOB, phash BLOB, types TEXT NOT NULL,
            server TEXT, generation INTEGER, hits BLOB, scan INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE scans (number INTEGER NOT NULL); INSERT INTO scans VALUES (7);
            CREATE INDEX by_hits ON files (path) WHERE hits IS NOT NULL; PRAGMA user_version = 2;"""
        )
        old.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL, NULL, 'md5', ?, 99, NULL, 7)",
            (
                os.fsencode(place.tree / "a"),
                status.st_size,
                status.st_mtime_ns,
                status.st_ino,
                bytes.fromhex(next(iter(place.server.known))),
                place.server.url,
            ),
        )
    old.close()
    result = place.scan()
    assert (result.hashed, result.unchanged, result.asked) == (1, 1, 2)
    assert place.matched == ["a"]
    assert place.scan().asked == 0


def test_a_file_system_that_is_not_mounted_any_more_is_named(tmp_path: Path) -> None:
    (tmp_path / "mount" / "sub").mkdir(parents=True)
    (tmp_path / "mount" / "left behind").write_bytes(b"a")
    root, mount = os.fsencode(tmp_path), os.fsencode(tmp_path / "mount")
    unseen: list[Unseen] = []
    mounts = Mounts([mount])
    found = list(walk([root], WalkOptions(), unseen.append, mounts))
    assert len(found) == 1
    assert [(each.path, each.kind, each.is_folder) for each in unseen] == [(mount, NotLookedAt.MISSING, True)]
    assert mounts.missing == {mount}
    assert Mounts().note(b"/x", 1, 1) is not False
    again = Mounts()
    assert again.note(b"/x", 2, 1)
    assert again.found == {b"/x"}


Prepare = Callable[[Path], None]


def loop(folder: Path) -> None:
    (folder / "loop").symlink_to(folder / "loop")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize("prepare", [loop, pipe])
def test_what_is_no_file_is_none(place: Place, prepare: Prepare) -> None:
    prepare(place.tree)
    assert place.scan().files == 2
    assert place.unseen == []
