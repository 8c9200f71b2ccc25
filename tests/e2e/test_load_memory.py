"""A load takes as much memory for a large file as for a small one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from serving import COMMAND, environment

_BLOCK = 1 << 12
_MEBIBYTE = 1 << 20


def write_csv(path: Path, rows: int, note: int) -> None:
    """Made-up rows of MD5, SHA-1, category, id and a note of so many characters."""
    random = np.random.default_rng(1)
    with path.open("w") as file:
        file.write("md5,sha1,category,id,note\n")
        for start in range(0, rows, _BLOCK):
            text = random.bytes(36 * _BLOCK).hex()
            for row in range(start, min(rows, start + _BLOCK)):
                at = 72 * (row - start)
                hashes = f"{text[at : at + 32]},{text[at + 32 : at + 72]}"
                file.write(f"{hashes},baseline,A-{row:014},{text[at] * note}\n")


def peak_of_load(folder: Path, rows: int, note: int) -> int:
    """Bytes resident at most while so many rows are loaded, with little memory to sort them in."""
    folder.mkdir()
    write_csv(folder / "list.csv", rows, note)
    command = [*COMMAND, "load", "-", "--set", "known", "--data-dir", str(folder / "data"), "--json"]
    env = environment(HASHSERVER_LOAD_MEMORY_BYTES=str(64 * _MEBIBYTE))
    with (folder / "list.csv").open("rb") as listing:
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=listing, stdout=subprocess.DEVNULL)
    (folder / "list.csv").unlink()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss << 10


@pytest.mark.parametrize(
    ("rows", "note", "bound"),
    [
        (50_000, 6000, 130),  # 290 MB of text, next to nothing of which a set keeps
        (1_470_000, 0, 385),  # 145 MB of text, two thirds of which are in the store's map at the end
    ],
    ids=["long rows", "many rows"],
)
def test_a_large_file_takes_little_more_than_a_small_one(tmp_path: Path, rows: int, note: int, bound: int) -> None:
    """The bounds, in MiB, are too small for a load that holds the text."""
    few, many = (peak_of_load(tmp_path / name, n, note) for name, n in (("few", 1000), ("many", rows)))
    print(f"{few >> 20} and {many >> 20} MiB")
    assert many - few < bound * _MEBIBYTE
