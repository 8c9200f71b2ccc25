"""Hashing processes that get stuck or die: they are replaced, and only one file suffers.

The decoder that does so is a plugin of Pillow's, which `sitecustomize` adds to the processes that
hash.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import eventually

from hashserver.provider.hashing.digests import TYPES
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.pool import Hashers, HashingFailed, _environment
from hashserver.provider.scanning.walk import FoundFile
from hashserver.provider.scanning.worker import FileOutcome

PLUGIN = """
import os
from collections import deque
from itertools import repeat
from PIL import Image, ImageFile

class Fatal(ImageFile.ImageFile):
    format = "FATAL"

    def _open(self):
        if self.fp.read(5) == b"STUCK":
            deque(repeat(0), maxlen=0)  # a loop in C that never looks for signals
        os.abort()

Image.register_open("FATAL", Fatal, lambda prefix: prefix[:5] in (b"STUCK", b"ABORT"))
"""


@pytest.fixture
def fatal_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


def plant(folder: Path, contents: dict[str, bytes]) -> list[FoundFile]:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [FoundFile(os.fsencode(folder / name), len(content), 0, 0) for name, content in contents.items()]


def hash_all(chunks: list[list[FoundFile]], types: set[str], processes: int = 2) -> dict[str, list[FileOutcome]]:
    """Outcomes by the names of files; there should be one for each."""
    found: dict[str, list[FileOutcome]] = {}
    with Hashers(
        frozenset(types), processes=processes, nice=0, seconds=0.5, fast=False, anonymous=False
    ) as hashers:
        for chunk in chunks:
            hashers.submit(chunk)
        while hashers.is_busy:
            for file, outcome in hashers.next_done():
                found.setdefault(Path(os.fsdecode(file.path)).name, []).append(outcome)
    return found


def digests_of(outcomes: list[FileOutcome]) -> dict[str, bytes]:
    (outcome,) = outcomes
    assert outcome.digests is not None
    return {name: digest for name, digest in zip(TYPES, outcome.digests, strict=True) if digest is not None}


@pytest.mark.parametrize(
    ("word", "note"),
    [
        (b"STUCK", "decoding the picture took longer than 0.5 s, and did not stop; see --file-timeout"),
        (b"ABORT", "decoding the picture ended the process unexpectedly (SIGABRT)"),
    ],
)
@pytest.mark.usefixtures("fatal_decoder")
def test_a_decoder_that_never_returns_or_crashes_costs_one_picture_its_hash(
    tmp_path: Path, word: bytes, note: str
) -> None:
    contents = {f"{number:02}": b"sound %d" % number for number in range(20)} | {"10": word + b" picture"}
    files = plant(tmp_path / "files", contents)
    found = hash_all([files[:15], files[15:]], {"md5", "pdq"})
    assert found.keys() == contents.keys()
    for name, content in contents.items():
        assert digests_of(found[name]) == {"md5": hashlib.md5(content).digest()}, name
        assert found[name][0].trouble == (note if name == "10" else None)


@pytest.mark.usefixtures("fatal_decoder")
def test_a_picture_that_cannot_be_hashed_at_all_is_trouble_once(tmp_path: Path) -> None:
    files = plant(tmp_path / "files", {"bad": b"ABORT", "worse": b"ABORT", "sound": b"sound"})
    found = hash_all([files], {"pdq"}, processes=1)
    (bad,), (worse,), (sound,) = found["bad"], found["worse"], found["sound"]
    why = "decoding the picture ended the process unexpectedly (SIGABRT)"
    assert bad == worse == FileOutcome(0, None, why, NotLookedAt.NOT_DECODABLE)
    assert sound.trouble is None


def test_a_process_that_is_killed_while_it_reads_loses_nothing_but_that_file(tmp_path: Path) -> None:
    files = plant(tmp_path / "files", {"a": b"a", "c": b"c"})
    os.mkfifo(tmp_path / "files" / "b")
    holder = os.open(tmp_path / "files" / "b", os.O_RDWR)
    chunk = [files[0], FoundFile(os.fsencode(tmp_path / "files" / "b"), 0, 0, 0), files[1]]
    found: dict[bytes, list[FileOutcome]] = {}
    try:
        with Hashers(frozenset({"md5"}), processes=1, nice=0, seconds=60, fast=False, anonymous=False) as hashers:
            hashers.submit(chunk)
            for child in children_that_hash(60):
                os.kill(child, 9)
            while hashers.is_busy:
                for file, outcome in hashers.next_done():
                    found.setdefault(file.path, []).append(outcome)
    finally:
        os.close(holder)
    assert digests_of(found[files[0].path]) == {"md5": hashlib.md5(b"a").digest()}
    assert digests_of(found[files[1].path]) == {"md5": hashlib.md5(b"c").digest()}
    why = "reading it ended the process unexpectedly (SIGKILL)"
    assert found[chunk[1].path] == [FileOutcome(0, None, why, NotLookedAt.UNREADABLE)]


def children_that_hash(patience: float) -> Iterator[int]:
    """Our processes that are reading a named pipe, found by the file that they have open."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True)
        for child in map(int, listed.stdout.split()):
            folder = Path(f"/proc/{child}/fd")
            try:
                opened = [os.readlink(file) for file in folder.iterdir()]
            except OSError:
                continue
            if any(name.endswith("/files/b") for name in opened):
                yield child
                return
        time.sleep(0.05)
    raise AssertionError("no process has come to the file")


def test_the_processes_know_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HASHSERVER_KEY": "hs_1", "AWS_SECRET_ACCESS_KEY": "2", "HTTPS_PROXY": "http://a:b@c", "TOKEN": "3"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert not secrets.keys() & _environment(secrets=False).keys()
    assert secrets.keys() & _environment(secrets=True).keys() == {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"}
    with Hashers(frozenset({"md5"}), processes=1, nice=0, seconds=60, fast=False, anonymous=False) as hashers:
        (child,) = [worker.process.pid for worker in hashers._workers]
        environment = eventually(Path(f"/proc/{child}/environ").read_bytes)
    assert b"PATH=" in environment
    assert not any(name.encode() + b"=" in environment for name in secrets)


def test_processes_that_cannot_start_are_an_error_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(HashingFailed, match="ended before it started"):
        hash_all([plant(tmp_path / "files", {"a": b"a"})], {"md5"})


def test_what_only_digests_imports_nothing_that_is_slow_to_import() -> None:
    slow = ("numba", "numpy", "PIL", "httpx")
    program = (
        f"import sys, hashserver.provider.scanning.worker; print([name for name in {slow} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
    program = "import sys, hashserver.provider.scanning.scan; print('numba' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
