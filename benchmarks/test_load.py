"""Bulk load of 10 M MD5s from files with the command, beside sorted appends of keys to LMDB."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from benchmarks.support import ENTRIES, Ratios, full_only

PEER_ROWS = 1_000_000


@pytest.fixture(scope="module")
def texts(md5s: NDArray[np.uint8]) -> list[str]:
    text = md5s.tobytes().hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    path = tmp_path_factory.mktemp("csv") / "known.csv"
    path.write_text("md5\n" + "\n".join(texts) + "\n")
    return path


@pytest.fixture(scope="module")
def peer_rate(tmp_path_factory: pytest.TempPathFactory, csv_file: Path) -> float:
    """Rows a second of the obvious way: csv, bytes.fromhex, sorted, append."""
    environment = lmdb.open(str(tmp_path_factory.mktemp("plain")), map_size=1 << 30)
    began = time.perf_counter()
    with csv_file.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        keys = sorted(bytes.fromhex(row[0]) for row, _ in zip(rows, range(PEER_ROWS), strict=False))
    with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
        cursor.putmulti(((key, b"") for key in keys), append=True)
    return PEER_ROWS / (time.perf_counter() - began)


def load_file(path: Path, folder: Path) -> float:
    """Rows a second of `hashserver load`, by its own clock, without the start of Python."""
    arguments = ["-m", "hashserver", "load", str(path), "--set", "known", "--data-dir", str(folder), "--json"]
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    summary = json.loads(result.stdout)
    assert summary["added"] == ENTRIES
    return float(ENTRIES / summary["seconds"])


def test_load_from_csv(csv_file: Path, tmp_path: Path, peer_rate: float, ratios: Ratios) -> None:
    ours = max(load_file(csv_file, tmp_path / f"data-{turn}") for turn in range(2))
    ratios.figure("load of 10 M MD5 from CSV", ours / 1e6, "M/s")
    ratios.compare("  beside csv + sorted + lmdb append", ours, peer_rate, floor=4)


@pytest.mark.parametrize("kind", ["binary", "hexadecimal"])
def test_load_from_parquet(
    kind: str, tmp_path: Path, md5s: NDArray[np.uint8], texts: list[str], peer_rate: float, ratios: Ratios
) -> None:
    path = tmp_path / "known.parquet"
    packed = pa.Array.from_buffers(pa.binary(16), len(md5s), [None, pa.py_buffer(md5s.tobytes())])
    pq.write_table(pa.table({"md5": packed if kind == "binary" else texts}), path)
    ours = max(load_file(path, tmp_path / f"data-{turn}") for turn in range(3))
    ratios.figure(f"load of 10 M MD5 from {kind} Parquet", ours / 1e6, "M/s")
    ratios.compare("  beside csv + sorted + lmdb append", ours, peer_rate, floor=4 if kind == "binary" else 3)


@full_only
def test_load_from_csv_with_categories_and_ids(tmp_path: Path, texts: list[str], ratios: Ratios) -> None:
    path = tmp_path / "known.csv"
    with path.open("w") as file:
        file.write("md5,category,id\n")
        file.writelines(f"{text},baseline,A-{number}\n" for number, text in enumerate(texts))
    rate = load_file(path, tmp_path / "data")
    ratios.figure("load of 10 M MD5 with category and id from CSV", rate / 1e6, "M/s")
