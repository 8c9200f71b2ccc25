"""Listings of md5sum, sha1sum, sha256sum and rclone: a hash and a file name a line, also in BSD's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import Cells, Decoded, assemble, decode_cells
from hashserver.readers.columns import type_of
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.source import Source

_BSD = re.compile(rb"(MD5|SHA1|SHA256|SHA2-256) ?\((.*)\) ?= ?([0-9A-Fa-f]+)", re.DOTALL)
_BSD_TYPES = {b"MD5": "md5", b"SHA1": "sha1", b"SHA256": "sha256", b"SHA2-256": "sha256"}
_GNU = re.compile(rb"\\?[0-9A-Fa-f]{16,64} [ *].")
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_SPACE, _STAR, _BACKSLASH = 0x20, 0x2A, 0x5C


def looks_like_sums(line: bytes) -> bool:
    """Whether a line is one of a listing."""
    return _GNU.match(line) is not None or _BSD.fullmatch(line.removeprefix(b"\\")) is not None


@nb.njit(cache=True, nogil=True)
def _split_gnu(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hash_lengths: NDArray[np.int64],
    name_starts: NDArray[np.int64],
) -> None:
    """Where the hash ends and the name begins in `HASH  NAME` and `HASH *NAME`; length -1 for other lines."""
    for i in range(starts.shape[0]):
        at, stop = starts[i], starts[i] + lengths[i]
        while at < stop and text[at] != _SPACE:
            at += 1
        hash_lengths[i] = -1
        name_starts[i] = stop
        if text[starts[i]] != _BACKSLASH and at + 2 < stop:
            second = text[at + 1]
            if second in (_SPACE, _STAR):
                hash_lengths[i] = at - starts[i]
                name_starts[i] = at + 2


def read_sums(
    source: Source,
    *,
    hash_type: str | None,
    on_reject: Callable[[Reject], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Rows]:
    """Read a listing; see `hashserver.readers.read_rows`. The type is the named one, or by each line's digits."""
    ready: list[Rows] = []

    def consume(text: NDArray[np.uint8], first_line: int, final: bool) -> tuple[int, int]:
        every, taken, count = lines_of(text, first_line, final)
        lines = every.without_comments()
        if len(lines):
            rows = _read_block(lines, hash_type, on_reject)
            ready.extend([rows] if rows is not None else [])
        return taken, count

    for _ in Blocks(source, on_reject, block_bytes).feed(consume):
        yield from ready
        ready.clear()


def _read_block(lines: Lines, chosen: str | None, on_reject: Callable[[Reject], None]) -> Rows | None:
    text, starts, lengths = lines.cells.buffer, lines.cells.starts, lines.cells.lengths
    hash_lengths, name_starts = np.empty_like(starts), np.empty_like(starts)
    _split_gnu(text, starts, lengths, hash_lengths, name_starts)
    hashes = Cells(text, starts.copy(), hash_lengths)
    names = Cells(text, name_starts, starts + lengths - name_starts)
    types = np.zeros(len(lines), np.int64)
    known = list(HASH_TYPES)
    for name in known if chosen is None else [chosen]:
        # Types of equal width stand in the registry with the usual one first.
        fits = (hash_lengths == HASH_TYPES[name].hex_digits) & (types == 0)
        types[fits] = known.index(name) + 1
    odd = np.flatnonzero(types == 0)
    broken: dict[int, str] = {}
    if len(odd):
        hashes, names = _parse_odd_lines(lines, odd.tolist(), chosen, hashes, names, types, broken)
    columns = [_column(name, hashes, types == known.index(name) + 1) for name in known]
    return assemble(
        lines.numbers,
        [column for column in columns if column.present.any()],
        names=names,
        broken=broken,
        raw=lines.cells.text,
        on_reject=on_reject,
    )


def _column(name: str, hashes: Cells, mine: NDArray[np.bool_]) -> Decoded:
    """The hashes of one type; the cells of other lines count as empty."""
    lengths = np.where(mine, hashes.lengths, 0)
    return decode_cells(look_up(name), Cells(hashes.buffer, hashes.starts.copy(), lengths))


def _parse_odd_lines(
    lines: Lines,
    odd: list[int],
    chosen: str | None,
    hashes: Cells,
    names: Cells,
    types: NDArray[np.int64],
    broken: dict[int, str],
) -> tuple[Cells, Cells]:
    """Read the lines in BSD's form, and those with escaped names, one by one; the rest are broken."""
    known = list(HASH_TYPES)
    extra = bytearray()
    base = len(hashes.buffer)
    for row in odd:
        line = lines.cells.text(row)
        parsed = _parse_line(line, chosen)
        if parsed is None:
            hashes.lengths[row], names.lengths[row] = 0, 0
            broken[row] = "expected a hash of 32, 40 or 64 hexadecimal digits, two spaces and a file name"
            continue
        kind, digits, name = parsed
        types[row] = known.index(kind) + 1
        hashes.starts[row], hashes.lengths[row] = base + len(extra), len(digits)
        extra += digits
        names.starts[row], names.lengths[row] = base + len(extra), len(name)
        extra += name
    if not extra:
        return hashes, names
    buffer = np.concatenate([hashes.buffer, np.frombuffer(bytes(extra), np.uint8)])
    return Cells(buffer, hashes.starts, hashes.lengths), Cells(buffer, names.starts, names.lengths)


def _parse_line(line: bytes, chosen: str | None) -> tuple[str, bytes, bytes] | None:
    escaped = line.startswith(b"\\")
    body = line[1:] if escaped else line
    match = _BSD.fullmatch(body)
    if match is not None:
        kind, name, digits = _BSD_TYPES[match[1]], match[2], match[3]
        if len(digits) != look_up(kind).hex_digits:
            return None
    else:
        digits, _, rest = body.partition(b" ")
        found = type_of(digits, chosen)
        if found is None or rest[:1] not in (b" ", b"*") or len(rest) < 2:
            return None
        kind, name = found, rest[1:]
    if escaped:
        name = re.sub(rb"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
    return kind, digits, name
