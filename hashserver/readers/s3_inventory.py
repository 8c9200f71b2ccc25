"""S3 inventories: the objects of a bucket, whose ETag is the MD5 of what is in them, or is not.

An ETag is no MD5 when the object was uploaded in parts (it holds a dash then) or is encrypted with a key of
KMS or of the customer. Such objects cannot be checked without reading them; they are counted in
`Source.not_checkable` and are no errors.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

import numba as nb
import numpy as np
import orjson
from numpy.typing import NDArray

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.cells import Cells, Decoded, assemble, categories_of, decode_cells, strings_of, trim
from hashserver.readers.csv_text import Layout, is_blank, read_records
from hashserver.readers.errors import ReadError
from hashserver.readers.source import Source

_SAMPLE = 1 << 16
_SAMPLE_ROWS = 100
_MANIFEST = "manifest.json"
_MOST_MANIFESTS, _LARGEST_MANIFEST = 50, 16 << 20
_ETAG = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_MD5_ENCRYPTIONS = frozenset({"", "NOT-SSE", "SSE-S3"})
_ENCRYPTIONS = _MD5_ENCRYPTIONS | {"SSE-C", "SSE-KMS", "DSSE-KMS"}
_PERCENT, _PLUS, _SPACE = 0x25, 0x2B, 0x20


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions of the columns that are read, and how many there are."""

    key: int
    etag: int
    encryption: int | None
    count: int


def looks_like(sample: bytes) -> bool:
    """Whether a file begins as a CSV inventory does: all quoted, one bucket, times and ETags."""
    rows = _sample_rows(sample)
    if not sample.removeprefix(b"\xef\xbb\xbf").startswith(b'"') or not rows or len({row[0] for row in rows}) > 1:
        return False
    return _guess(rows) is not None and _matching(rows, _TIME.fullmatch) is not None


def read_s3_inventory(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read a CSV inventory; see `hashserver.readers.read_rows`. Parquet is told apart by `read_parquet`.

    The columns are those of the manifest that lists the file, where it lies beside it, or are known by what
    is in them.
    """
    sample = source.peek(_SAMPLE)
    if sample.startswith(b"PAR1"):
        from hashserver.readers.parquet import read_parquet

        yield from read_parquet(source, hash_type=None, on_reject=on_reject)
        return
    if is_blank(sample):
        return
    columns = _named_by_manifest(source) or _guess(_sample_rows(sample))
    if columns is None:
        raise ReadError(
            f"{source.name}: no column holds ETags; let the inventory list ETags, "
            f"and keep its {_MANIFEST} beside the file"
        )
    positions = {columns.key, columns.etag, columns.etag if columns.encryption is None else columns.encryption}
    layout = Layout(frozenset(positions), columns.count, header=False)
    for records in read_records(source, ord(","), layout, on_reject, block_bytes):
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


def columns_in(names: Sequence[str]) -> Columns | None:
    """The columns of an inventory by their names, in a manifest or in Parquet; None: it is no inventory."""
    plain = [name.strip().lower().replace("_", "") for name in names]
    if "key" not in plain or "etag" not in plain:
        return None
    encryption = plain.index("encryptionstatus") if "encryptionstatus" in plain else None
    return Columns(plain.index("key"), plain.index("etag"), encryption, len(plain))


def take_checkable(
    source: Source,
    *,
    etags: Cells,
    keys: Cells,
    encryption: Cells | None,
    lines: NDArray[np.int64],
    broken: dict[int, str],
    raw: Callable[[int], bytes],
    on_reject: Callable[[Reject], None],
    quoted: bool,
) -> Rows | None:
    """The rows of a block whose ETag is an MD5; the others are counted.

    Args:
        source: keeps the count.
        etags, keys, encryption: columns of n cells.
        lines, broken, raw, on_reject: see `assemble`.
        quoted: whether keys are written as in a URL.
    """
    decoded = decode_cells(look_up("md5"), etags)
    usable = decoded.present & ~decoded.bad
    if encryption is not None:
        trim(encryption)
        status = categories_of(strings_of(encryption))
        # The last one is for code -1, an empty cell.
        plain = np.array([*(name.upper() in _MD5_ENCRYPTIONS for name in status.names), True], np.bool_)
        usable &= plain[status.codes]
    usable[list(broken)] = True  # to be rejected with their reason
    source.not_checkable += int(len(usable) - usable.sum())
    if not usable.any():
        return None
    kept = np.flatnonzero(usable)
    names = _only(keys, usable)
    places = {int(row): place for place, row in enumerate(kept)} if broken else {}

    def explain(row: int) -> str:
        return decoded.explain(int(kept[row]))

    return assemble(
        lines[usable],
        [Decoded(decoded.kind, decoded.digests[usable], decoded.present[usable], decoded.bad[usable], explain)],
        names=_unquoted(names) if quoted else names,
        broken={places[row]: reason for row, reason in broken.items()},
        raw=lambda row: raw(int(kept[row])),
        on_reject=on_reject,
    )


def _only(cells: Cells, mask: NDArray[np.bool_]) -> Cells:
    doubled = None if cells.doubled is None else cells.doubled[mask]
    return Cells(cells.buffer, cells.starts[mask], cells.lengths[mask], doubled)


@nb.njit(cache=True, nogil=True)
def _digit(character: np.uint8) -> int:
    if 0x30 <= character <= 0x39:
        return int(character) - 0x30
    lower = int(character) | 0x20
    return lower - 0x57 if 0x61 <= lower <= 0x66 else -1


@nb.njit(cache=True, nogil=True)
def _unquote(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """Undo URL encoding in place, as for form values: %41 and + stand for A and a space. O(size)."""
    to = 0
    at = 0
    for i in range(offsets.shape[0] - 1):
        stop = offsets[i + 1]
        offsets[i] = to
        while at < stop:
            character = data[at]
            if character == _PERCENT and at + 2 < stop:
                high, low = _digit(data[at + 1]), _digit(data[at + 2])
                if high >= 0 and low >= 0:
                    character = np.uint8(high * 16 + low)
                    at += 2
            elif character == _PLUS:
                character = np.uint8(_SPACE)
            data[to] = character
            to += 1
            at += 1
    offsets[offsets.shape[0] - 1] = to


def _unquoted(keys: Cells) -> Cells:
    strings = strings_of(keys)
    _unquote(strings.data, strings.offsets)
    return Cells(strings.data, strings.offsets[:-1].copy(), np.diff(strings.offsets))


def _named_by_manifest(source: Source) -> Columns | None:
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
            raise ReadError(f"{source.name}: {path} names no Key and ETag; let the inventory list ETags")
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


def _sample_rows(sample: bytes) -> list[list[str]]:
    text = sample.decode("utf-8", "replace").lstrip("\ufeff")
    whole = text[: text.rfind("\n") + 1] if len(sample) >= _SAMPLE else text
    try:
        rows = list(islice(csv.reader(io.StringIO(whole, newline="")), _SAMPLE_ROWS))
    except csv.Error:
        return []
    return [row for row in rows if row]


def _guess(rows: list[list[str]]) -> Columns | None:
    """Bucket and key come first; the other columns are known by what is in them."""
    etag = _matching(rows, _ETAG.fullmatch)
    if etag is None:
        return None
    return Columns(1, etag, _matching(rows, lambda cell: cell in _ENCRYPTIONS), len(rows[0]))


def _matching(rows: list[list[str]], fits: Callable[[str], object]) -> int | None:
    """The first column after bucket and key whose cells all fit, but for empty ones."""
    for position in range(2, len(rows[0]) if rows else 0):
        cells = {row[position] for row in rows if len(row) == len(rows[0])} - {""}
        if cells and all(map(fits, cells)):
            return position
    return None
