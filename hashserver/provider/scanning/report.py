"""The report of a scan: one row for each entry that a file matched, as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click
import orjson

from hashserver.csv_writer import CsvWriter
from hashserver.provider.scanning.state import Hit
from hashserver.provider.scanning.walk import FoundFile
from hashserver.times import timestamp

COLUMNS = ("path", "size", "mtime", "type", "hash", "distance", "set", "category", "id")
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def check_name(path: Path | None) -> None:
    """Refuse a report whose name does not say what it is to be, before the scan rather than after it."""
    if path is None:
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise click.UsageError(f"--report {path}: the name ends in one of {', '.join(_SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"--report {path}: there is no folder {path.absolute().parent}")


def write_report(path: Path | None, hits: Iterable[tuple[FoundFile, list[Hit]]]) -> None:
    """Write a report; a file is replaced when it is whole, and not before. None: CSV on standard output."""
    rows = _rows(hits)
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


def _rows(hits: Iterable[tuple[FoundFile, list[Hit]]]) -> Iterator[dict[str, Any]]:
    for file, found in hits:
        changed = timestamp(file.mtime_ns / 1e9)
        for hit in found:
            yield {
                "path": file.path.decode("utf-8", "backslashreplace"),
                "size": file.size,
                "mtime": changed,
                "type": hit.type,
                "hash": hit.hash,
                "distance": hit.distance,
                "set": hit.set,
                "category": hit.category,
                "id": hit.id,
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
