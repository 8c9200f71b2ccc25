"""The report of a scan: what matched, and what was not looked at, as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import orjson

from hashcore.text.printable import printable
from hashserver.csv_writer import CsvWriter
from hashserver.provider.errors import ReportError
from hashserver.provider.scanning.state import FileMatch
from hashserver.provider.scanning.walk import FoundFile, Unseen
from hashserver.times import timestamp

COLUMNS = ("path", "size", "mtime", "type", "hash", "distance", "set", "category", "id")
# Rows without a set are of what was not looked at, and say why.
ALL_COLUMNS = (*COLUMNS, "not_looked_at", "reason", "path_hex")
_NO_ROW: dict[str, Any] = dict.fromkeys(ALL_COLUMNS)
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def check_name(path: Path | None) -> None:
    """Refuse a report that cannot be written, before the scan rather than after it.

    Raises:
        ReportError: the name does not end in one of the formats, or its folder does not exist.
    """
    if path is None:
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise ReportError(f"--report {path}: the name must end in one of {', '.join(_SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise ReportError(f"--report {path}: the folder {path.absolute().parent} does not exist")


def write_report(
    path: Path | None,
    matched: Iterable[tuple[FoundFile, list[FileMatch]]],
    unseen: Iterable[Unseen],
    *,
    as_json: bool = False,
) -> None:
    """Write a report: on standard output, or a file, which appears once it is complete.

    Args:
        path: of the file, whose name says the format; None for standard output.
        matched: files and what they matched.
        unseen: what was not looked at.
        as_json: write JSON Lines rather than CSV on standard output.
    """
    rows = chain(_rows(matched), _rows_of_unseen(unseen))
    if path is None:
        if as_json:
            sys.stdout.writelines(map(_line, rows))
        else:
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
                file.writelines(map(_line, rows))
    os.replace(new, path)


def _rows(matched: Iterable[tuple[FoundFile, list[FileMatch]]]) -> Iterator[dict[str, Any]]:
    for file, matches in matched:
        changed = timestamp(file.mtime_ns / 1e9)
        for match in matches:
            yield _NO_ROW | {
                "path": file.path.decode("utf-8", "backslashreplace"),
                "size": file.size,
                "mtime": changed,
                "type": match.type,
                "hash": match.hash,
                "distance": match.distance,
                "set": match.set,
                "category": match.category,
                "id": match.id,
                "path_hex": file.path.hex(),
            }


def _rows_of_unseen(unseen: Iterable[Unseen]) -> Iterator[dict[str, Any]]:
    for each in unseen:
        yield _NO_ROW | {
            "path": each.path.decode("utf-8", "backslashreplace"),
            "not_looked_at": each.kind.value,
            "reason": each.why,
            "path_hex": each.path.hex(),
        }


def _line(row: dict[str, Any]) -> str:
    return orjson.dumps(row).decode() + "\n"


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    writer = CsvWriter(file)
    writer.write_row(ALL_COLUMNS)
    for row in rows:
        shown = row | {"path": bytes.fromhex(row["path_hex"])}
        cells = (shown[name] for name in ALL_COLUMNS)
        writer.write_row(printable(cell) if isinstance(cell, str | bytes) else cell for cell in cells)


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"size": pa.int64(), "distance": pa.int32()}
    schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in ALL_COLUMNS])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
