"""The report of a scan: one row for each entry that a file matched, as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import orjson

from hashserver.csv_writer import CsvWriter
from hashserver.provider.errors import ReportError
from hashserver.provider.scanning.state import FileMatch
from hashserver.provider.scanning.walk import FoundFile
from hashserver.times import timestamp

COLUMNS = ("path", "size", "mtime", "type", "hash", "distance", "set", "category", "id")
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def check_name(path: Path | None) -> None:
    """Refuse a report whose name does not say what it is to be, before the scan rather than after it."""
    if path is None:
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise ReportError(f"--report {path}: the name ends in one of {', '.join(_SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise ReportError(f"--report {path}: there is no folder {path.absolute().parent}")


def write_report(path: Path | None, matched: Iterable[tuple[FoundFile, list[FileMatch]]]) -> None:
    """Write a report; a file is replaced when it is whole, and not before. None: CSV on standard output."""
    rows = _rows(matched)
    if path is None:
        _write_csv(sys.stdout, rows)
        return
    new = path.with_name(f".{path.name}.new")
    if path.suffix.lower() == ".parquet":
        _write_parquet(new, rows)
    else:
        with new.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                _write_csv(file, rows)
            else:
                file.writelines(orjson.dumps(row).decode() + "\n" for row in rows)
    os.replace(new, path)


def _rows(matched: Iterable[tuple[FoundFile, list[FileMatch]]]) -> Iterator[dict[str, Any]]:
    for file, matches in matched:
        changed = timestamp(file.mtime_ns / 1e9)
        for match in matches:
            yield {
                "path": file.path.decode("utf-8", "backslashreplace"),
                "size": file.size,
                "mtime": changed,
                "type": match.type,
                "hash": match.hash,
                "distance": match.distance,
                "set": match.set,
                "category": match.category,
                "id": match.id,
            }


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    writer = CsvWriter(file)
    writer.write_row(COLUMNS)
    for row in rows:
        writer.write_row(row[name] for name in COLUMNS)


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"size": pa.int64(), "distance": pa.int32()}
    schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
