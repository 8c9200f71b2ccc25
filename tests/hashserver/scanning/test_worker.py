"""Files that take too long: pipes that nobody writes to, and pictures that are slow to decode."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

from hashserver.scanning.worker import Outcome, begin_hashing, hash_chunk

TYPES = frozenset({"md5", "pdq"})


def in_a_process(paths: list[Path], seconds: float) -> list[Outcome]:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, context, begin_hashing, (0, os.getpid())) as pool:
        return pool.submit(hash_chunk, list(map(os.fsencode, paths)), TYPES, False, seconds).result(60)


def test_a_file_that_never_answers_is_left_and_the_next_is_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")  # as a file on a mount that hangs, it can be opened and not read
    (tmp_path / "sound").write_bytes(b"sound")
    holder = os.open(tmp_path / "hangs", os.O_RDWR)
    started = time.monotonic()
    try:
        hung, sound = in_a_process([tmp_path / "hangs", tmp_path / "sound"], 0.5)
    finally:
        os.close(holder)
    assert time.monotonic() - started < 20
    assert hung == Outcome(None, "reading it took longer than 0.5 s; see --file-timeout")
    assert sound.trouble is None
    assert sound.hashes is not None
    assert sound.hashes.md5 == hashlib.md5(b"sound").hexdigest()


def test_a_picture_that_is_slow_to_decode_keeps_its_digests(tmp_path: Path) -> None:
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "slow.png", compress_level=1)
    (tmp_path / "sound").write_bytes(b"sound")
    slow, sound = in_a_process([tmp_path / "slow.png", tmp_path / "sound"], 0.5)
    assert slow.trouble == "decoding the picture took longer than 0.5 s; see --file-timeout"
    assert slow.hashes is not None
    assert slow.hashes.md5 == hashlib.md5((tmp_path / "slow.png").read_bytes()).hexdigest()
    assert slow.hashes.pdq is None
    assert sound.trouble is None
