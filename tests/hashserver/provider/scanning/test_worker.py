"""Files that take too long: pipes that nobody writes to, and pictures that are slow to decode."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from PIL import Image

from hashserver.provider.hashing.digests import TYPES
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.pool import Hashers
from hashserver.provider.scanning.walk import FoundFile
from hashserver.provider.scanning.worker import FileOutcome

MD5, PDQ = TYPES.index("md5"), TYPES.index("pdq")


def in_a_process(paths: list[Path], seconds: float) -> list[FileOutcome]:
    with Hashers(
        frozenset({"md5", "pdq"}), processes=1, nice=0, seconds=seconds, fast=False, anonymous=False
    ) as hashers:
        hashers.submit([FoundFile(os.fsencode(path), 0, 0, 0) for path in paths])
        return [outcome for _, outcome in hashers.next_done()]


def test_a_file_that_never_answers_is_left_and_the_next_is_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")  # as a file on a mount that hangs, it can be opened and not read
    (tmp_path / "sound").write_bytes(b"sound")
    holder = os.open(tmp_path / "hangs", os.O_RDWR)
    started = time.monotonic()
    try:
        hung, sound = in_a_process([tmp_path / "hangs", tmp_path / "sound"], 0.5)
    finally:
        os.close(holder)
    assert time.monotonic() - started < 120
    why = "reading it took longer than 0.5 s; see --file-timeout"
    assert hung == FileOutcome(0, None, why, NotLookedAt.TOO_SLOW)
    assert sound.trouble is None
    assert sound.digests is not None
    assert sound.digests[MD5] == hashlib.md5(b"sound").digest()


def test_a_picture_that_is_slow_to_decode_keeps_its_digests(tmp_path: Path) -> None:
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "slow.png", compress_level=1)
    (tmp_path / "sound").write_bytes(b"sound")
    slow, sound = in_a_process([tmp_path / "slow.png", tmp_path / "sound"], 0.5)
    assert slow.trouble == "decoding the picture took longer than 0.5 s; see --file-timeout"
    assert slow.digests is not None
    assert slow.digests[MD5] == hashlib.md5((tmp_path / "slow.png").read_bytes()).digest()
    assert slow.digests[PDQ] is None
    assert sound.trouble is None
