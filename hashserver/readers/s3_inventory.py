"""S3 inventories: the objects of a bucket, whose ETag is the MD5 of what is in them, or is not.

Which of them are is decided in `hashserver.readers.etags`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path, PurePath

import orjson

from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.csv_text import Layout, read_records
from hashserver.readers.errors import ReadError
from hashserver.readers.etags import MD5_ENCRYPTIONS, InventoryColumns, columns_in, take_checkable
from hashserver.readers.head import Head
from hashserver.readers.parquet import looks_like_parquet, read_parquet
from hashserver.readers.source import Source

_COMMA = 0x2C
_MANIFEST = "manifest.json"
_MOST_MANIFESTS, _LARGEST_MANIFEST = 50, 16 << 20
_ETAG = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ENCRYPTIONS = MD5_ENCRYPTIONS | {"SSE-C", "SSE-KMS", "DSSE-KMS"}


def looks_like(head: Head) -> bool:
    """Whether a file begins as a CSV inventory does: all quoted, one bucket, times and ETags."""
    if not head.text.startswith(b'"'):
        return False
    rows = head.records(_COMMA)
    return (
        len({row[0] for row in rows}) == 1
        and _guess(rows) is not None
        and _matching(rows, _TIME.fullmatch) is not None
    )


def read_s3_inventory(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read an inventory; see `hashserver.readers.read_rows`. Parquet goes to `read_parquet`.

    The columns are those of the manifest that lists the file, where it lies beside it, or are known
    by what is in them.
    """
    head = source.head
    if looks_like_parquet(head):
        yield from read_parquet(source, hash_type=None, on_reject=on_reject)
        return
    if head.has_no_record:
        return
    columns = _named_by_manifest(source) or _guess(head.records(_COMMA))
    if columns is None:
        raise ReadError(
            f"{source.name}: no column holds ETags; include ETags in the inventory, "
            f"and keep its {_MANIFEST} beside the file"
        )
    positions = {columns.key, columns.etag, columns.etag if columns.encryption is None else columns.encryption}
    layout = Layout(frozenset(positions), columns.count, header=False)
    for records in read_records(source, _COMMA, layout, on_reject, block_bytes):
        rows = take_checkable(
            source,
            etags=records.cells[columns.etag],
            keys=records.cells[columns.key],
            encryption=records.column(columns.encryption),
            lines=records.lines,
            broken=records.broken,
            raw=records.raw,
            on_reject=on_reject,
            quoted=True,
        )
        if rows is not None:
            yield rows


def _named_by_manifest(source: Source) -> InventoryColumns | None:
    """The columns that the manifest of the inventory names, if it is there and lists this file.

    Raises:
        ReadError: the inventory has no ETags.
    """
    if source.total_bytes is None:
        return None
    folder = Path(source.name).resolve().parent
    beside = [folder / _MANIFEST, folder.parent / _MANIFEST]
    for path in [*beside, *islice(folder.parent.glob(f"*/{_MANIFEST}"), _MOST_MANIFESTS)]:
        names = _schema(path, PurePath(source.name).name)
        if names is None:
            continue
        columns = columns_in(names)
        if columns is None:
            raise ReadError(f"{source.name}: {path} names no Key and ETag; include ETags in the inventory")
        return columns
    return None


def _schema(path: Path, file_name: str) -> list[str] | None:
    """The columns that a manifest names for a file; None when it is no manifest of it."""
    try:
        with path.open("rb") as file:
            manifest = orjson.loads(file.read(_LARGEST_MANIFEST))
        files = [PurePath(entry["key"]).name for entry in manifest["files"]]
        if manifest["fileFormat"] != "CSV" or file_name not in files:
            return None
        return str(manifest["fileSchema"]).split(",")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _guess(rows: list[list[str]]) -> InventoryColumns | None:
    """Bucket and key come first; the other columns are known by what is in them."""
    etag = _matching(rows, _ETAG.fullmatch)
    if etag is None:
        return None
    return InventoryColumns(1, etag, _matching(rows, lambda cell: cell in _ENCRYPTIONS), len(rows[0]))


def _matching(rows: list[list[str]], fits: Callable[[str], object]) -> int | None:
    """The first column after bucket and key whose cells all fit, but for empty ones."""
    for position in range(2, len(rows[0]) if rows else 0):
        cells = {row[position] for row in rows if len(row) == len(rows[0])} - {""}
        if cells and all(map(fits, cells)):
            return position
    return None
