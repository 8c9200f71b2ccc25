"""A scan of a tree of small files beside `md5sum` and then `sha1sum` over the same tree."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.support import QUICK, Ratios, blocks_of, random_digests
from hashcore import Store
from hashserver.ledger.publications import add_ledger
from hashserver.server.child import serving

FILES = 20_000 if QUICK else 200_000
TURNS = 3
# Most of the quick scan is the time in which Python starts, which a tree of any size has once.
FLOOR = 0.3 if QUICK else 0.8

pytestmark = pytest.mark.skipif(shutil.which("sha1sum") is None, reason="GNU coreutils are not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a hundred files of 0.5 to 8 kB, twenty in each folder of theirs."""
    root = tmp_path_factory.mktemp("scan") / "tree"
    source = random.Random(1)
    for number in range(FILES):
        folder = root / f"{number // 2000:03}" / f"{number // 100 % 20:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"file-{number:06}.bin").write_bytes(source.randbytes(source.randint(500, 8000)))
    return root


def seconds_of_coreutils(tree: Path) -> float:
    began = time.perf_counter()
    for program in ("md5sum", "sha1sum"):
        command = f"find . -type f -print0 | xargs -0 {program} | wc -l"
        listed = subprocess.run(command, cwd=tree, shell=True, check=True, capture_output=True)
        assert int(listed.stdout) == FILES
    return time.perf_counter() - began


def seconds_of_scan(tree: Path, url: str, state: Path) -> float:
    command = [sys.executable, "-m", "hashserver", "scan", tree, "--server", url, "--type", "md5,sha1"]
    began = time.perf_counter()
    done = subprocess.run([*command, "--state", state], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert f"{FILES:,} hashed" in done.stderr
    assert f"{FILES:,} asked about" in done.stderr
    return seconds


def test_small_files(tree: Path, tmp_path: Path, ratios: Ratios) -> None:
    """Ours also asks a server on the same cores, and remembers everything on disk."""
    data = tmp_path / "data"
    with Store(data) as store:
        store.load("known", blocks_of(random_digests(1_000_000, 16, 21), "md5"), now=0.0)
        store.load("known too", blocks_of(random_digests(1_000_000, 20, 22), "sha1"), now=0.0)
        add_ledger(store)
    seconds_of_coreutils(tree)  # the files are in memory from here on
    peer, ours, again = [], [], []
    with serving(data) as child:
        for turn in range(TURNS):
            peer.append(seconds_of_coreutils(tree))
            ours.append(seconds_of_scan(tree, child.url, tmp_path / f"state-{turn}"))
        began = time.perf_counter()
        command = [sys.executable, "-m", "hashserver", "scan", tree, "--server", child.url, "--type", "md5,sha1"]
        subprocess.run([*command, "--state", tmp_path / "state-0"], check=True, capture_output=True)
        again.append(time.perf_counter() - began)
    ratios.figure(f"scan of {FILES:,} small files, MD5 and SHA-1", FILES / min(ours) / 1e3, "k files/s")
    ratios.figure("  md5sum, then sha1sum", FILES / min(peer) / 1e3, "k files/s")
    ratios.compare("  beside md5sum, then sha1sum", min(peer), min(ours), floor=FLOOR)
    ratios.figure("  the next scan, when nothing has changed", FILES / min(again) / 1e3, "k files/s")
