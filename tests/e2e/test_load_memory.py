"""A load takes as much memory for a large file as for a small one."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import IO

import numpy as np
from serving import COMMAND, environment

_ROWS = 1 << 15
_MEBIBYTE = 1 << 20


def write_csv(pipe: IO[bytes], blocks: int) -> None:
    """Made-up rows of MD5, SHA-1, category and id, never all in memory."""
    random = np.random.default_rng(1)
    with pipe:
        pipe.write(b"md5,sha1,category,id\n")
        for block in range(blocks):
            text = random.bytes(36 * _ROWS).hex()
            rows = [
                f"{text[at : at + 32]},{text[at + 32 : at + 72]},baseline,A-{block:05}-{at:09}"
                for at in range(0, len(text), 72)
            ]
            pipe.write(("\n".join(rows) + "\n").encode())


def peak_of_load(folder: Path, blocks: int) -> int:
    """Bytes resident at most while so many blocks are loaded."""
    folder.mkdir()
    command = [*COMMAND, "load", "-", "--set", "known", "--data-dir", str(folder / "data"), "--json"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    writer = threading.Thread(target=write_csv, args=(process.stdin, blocks))
    writer.start()
    writer.join()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss << 10


def test_150_megabytes_take_little_more_than_a_few(tmp_path: Path) -> None:
    few, many = peak_of_load(tmp_path / "few", 1), peak_of_load(tmp_path / "many", 45)
    print(f"{few >> 20} and {many >> 20} MiB")
    assert many - few < 700 * _MEBIBYTE
