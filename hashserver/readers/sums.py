"""Listings of md5sum, sha1sum, sha256sum, BSD's md5 and rclone: a hash and a file name a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HASH_TYPES
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows, Strings
from hashserver.readers.blocks import BLOCK_BYTES, Blocks
from hashserver.readers.cells import Cells, Decoded, assemble, decode_cells
from hashserver.readers.columns import type_of
from hashserver.readers.errors import ReadError
from hashserver.readers.lines import Lines, lines_of
from hashserver.readers.source import Source

_BSD = re.compile(rb"([A-Za-z][A-Za-z0-9/-]{1,20}+) ?\((.*)\) ?= ?([0-9A-Za-z+/]+={0,2})", re.DOTALL)
_BSD_TYPES = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA-1": "sha1",
    "SHA256": "sha256",
    "SHA-256": "sha256",
    "SHA2-256": "sha256",
}
_GNU = re.compile(rb"\\?([0-9A-Fa-f]{8}|[0-9A-Fa-f]{16,128}) [ *].")
_OTHERS = {
    8: "CRC-32 or XXH32",
    16: "XXH64 or CRC-64; if these are pHashes, add --type phash",
    48: "Tiger",
    56: "SHA-224",
    96: "SHA-384",
    128: "SHA-512 or BLAKE2b",
}
_AS_NAMES = np.arange(256, dtype=np.uint8)
_AS_NAMES[0] = 0x0A  # see `Source.has_nul_lines`
_CR_WITHIN = re.compile(rb"\r[ \t]*+\\?[0-9A-Fa-f]{32,128} [ *]")
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_SPACE, _TAB, _LF, _CR, _STAR, _BACKSLASH = 0x20, 0x09, 0x0A, 0x0D, 0x2A, 0x5C

# What rclone writes, padded to the width of a hash, where a storage has none or fails to tell it.
_WITHOUT_HASH = re.compile(rb"[ \t]*+(?:UNSUPPORTED|ERROR)  .", re.DOTALL)
_LEAST_INDENT = 34  # of a line with blanks for an MD5, the shortest, and two more before the name
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/_-]{22}==|[A-Za-z0-9+/_-]{27}=|[A-Za-z0-9+/_-]{43}=)  .", re.DOTALL)


def looks_like_sums(line: bytes) -> bool:
    """Whether a line is one of a listing.

    Args:
        line: with the white space before it.
    """
    body = line.strip()
    return _has_hash(body) or _BASE64.match(body) is not None or _is_without_hash(line)


def _has_hash(line: bytes) -> bool:
    return _GNU.match(line) is not None or _BSD.fullmatch(line.removeprefix(b"\\").rstrip(b" \t\r")) is not None


def _is_without_hash(line: bytes) -> bool:
    """Whether it is a line of rclone's that names a file and no hash."""
    indent = len(line) - len(line.lstrip(b" "))
    return bool(line.strip()) and (indent >= _LEAST_INDENT or _WITHOUT_HASH.match(line) is not None)


@nb.njit(cache=True, nogil=True)
def _whole_lines(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    indents: NDArray[np.int64],
    whole: NDArray[np.int64],
) -> None:
    """Measure the spaces before each line, and its length with the blanks at its end. O(size).

    Args:
        text: uint8[size].
        starts, lengths: int64[n], lines without the white space around them.
        indents, whole: int64[n], receive the two; of a CR before the end of the line, one belongs
            to that.
    """
    size = text.shape[0]
    for i in range(starts.shape[0]):
        at = starts[i]
        while at > 0 and text[at - 1] == _SPACE:
            at -= 1
        indents[i] = starts[i] - at
        stop = starts[i] + lengths[i]
        while stop < size and text[stop] != _LF:
            stop += 1
        if text[stop - 1] == _CR:
            stop -= 1
        whole[i] = stop - starts[i]


@nb.njit(cache=True, nogil=True)
def _split_gnu(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hash_lengths: NDArray[np.int64],
    name_starts: NDArray[np.int64],
) -> None:
    """Where hash ends and name begins in `HASH  NAME` and `HASH *NAME`; length -1 elsewhere."""
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
    """Read a listing; see `hashserver.readers.read_rows`.

    The type is the one that the user named, or else known by the digits of each line. Lines of
    rclone's without a hash are counted in `source.not_checkable`.
    """
    _refuse_base64(source)
    _refuse_other_hashes(source, hash_type)
    for lines in Blocks(source, on_reject, block_bytes).cut(lines_of):
        rows = _read_block(source, lines, hash_type, on_reject)
        if rows is not None and rows.names is not None and source.has_nul_lines:
            rows = replace(rows, names=Strings(_AS_NAMES[rows.names.data], rows.names.offsets))
        if rows is not None:
            yield rows


def _refuse_other_hashes(source: Source, chosen: str | None) -> None:
    """Refuse a listing of which no line in sight has a hash that can be checked.

    Raises:
        ReadError: it is one.
    """
    known = {hash_type.hex_digits for name, hash_type in HASH_TYPES.items() if name != "phash" or chosen == name}
    digits: list[int] = []
    others: list[str] = []
    for line in source.head.lines:
        body = line.strip()
        if (bsd := _BSD.fullmatch(body.removeprefix(b"\\"))) is not None:
            kind = bsd[1].decode().upper()
            if kind in _BSD_TYPES:
                return
            others.append(kind)
        elif (gnu := _GNU.match(body)) is not None:
            if len(gnu[1]) in known:
                return
            digits += [len(gnu[1])] * (len(gnu[1]) in _OTHERS)
    if others:
        raise ReadError(f"{source.name}: its hashes are {others[0]}; {_SUPPORTED}")
    if digits:
        what = _OTHERS[digits[0]]
        raise ReadError(f"{source.name}: its hashes have {digits[0]} digits ({what}); {_SUPPORTED}")


_SUPPORTED = "make the listing with md5sum, sha1sum or sha256sum"


def _refuse_base64(source: Source) -> None:
    lines = map(bytes.strip, source.head.lines)
    hashed = next((line for line in lines if _GNU.match(line) or _BASE64.match(line)), b"")
    if _BASE64.match(hashed):
        raise ReadError(f"{source.name}: its hashes are in base64; make the listing without rclone's --base64")


def _read_block(
    source: Source, stripped: Lines, chosen: str | None, on_reject: Callable[[Reject], None]
) -> Rows | None:
    lines, indents = _as_written(stripped)
    hashless = _without_hash(lines, indents)
    source.not_checkable += int(hashless.sum())
    sound = ~hashless & (lines.cells.buffer[lines.cells.starts] != ord("#"))
    if not sound.all():
        lines, stripped = lines.keep(sound), stripped.keep(sound)
    if not len(lines):
        return None
    text, starts, lengths = lines.cells.buffer, lines.cells.starts, lines.cells.lengths
    hash_lengths, name_starts = np.empty_like(starts), np.empty_like(starts)
    _split_gnu(text, starts, lengths, hash_lengths, name_starts)
    hashes = Cells(text, starts.copy(), hash_lengths)
    names = Cells(text, name_starts, starts + lengths - name_starts)
    types = np.zeros(len(lines), np.int64)
    known = list(HASH_TYPES)
    for name in [name for name in known if name != "phash"] if chosen is None else [chosen]:
        # Types of equal width stand in the registry with the usual one first.
        fits = (hash_lengths == HASH_TYPES[name].hex_digits) & (types == 0)
        types[fits] = known.index(name) + 1
    odd = np.flatnonzero(types == 0)
    broken = _with_returns_within(lines)
    if len(odd):
        hashes, names = _parse_odd_lines(lines, odd.tolist(), chosen, hashes, names, types, broken)
    columns = [_column(name, hashes, types == known.index(name) + 1) for name in known]
    return assemble(
        lines.numbers,
        [column for column in columns if column.present.any()],
        names=names,
        broken=broken,
        raw=stripped.cells.text,
        on_reject=on_reject,
    )


def _as_written(stripped: Lines) -> tuple[Lines, NDArray[np.int64]]:
    """Lines with the blanks at their ends, which may be part of a name; and the spaces before."""
    cells = stripped.cells
    indents, whole = np.empty_like(cells.starts), np.empty_like(cells.starts)
    _whole_lines(cells.buffer, cells.starts, cells.lengths, indents, whole)
    return Lines(Cells(cells.buffer, cells.starts, whole), stripped.numbers), indents


def _without_hash(lines: Lines, indents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[n], the lines that name a file and tell that there is no hash of it."""
    buffer, starts = lines.cells.buffer, lines.cells.starts
    second = buffer[np.minimum(starts + 1, len(buffer) - 1)]
    # The words begin as no hash does, so that few lines have to be looked into.
    found: NDArray[np.bool_] = (indents >= _LEAST_INDENT) | (buffer[starts] == ord("U")) | (second == ord("R"))
    for row in np.flatnonzero(found).tolist():
        line = lines.cells.text(row)
        found[row] = not _has_hash(line) and _is_without_hash(b" " * int(indents[row]) + line)
    return found


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
    """Read lines in BSD's form or with escaped names, one by one; other lines are broken."""
    known = list(HASH_TYPES)
    extra = bytearray()
    base = len(hashes.buffer)
    for row in odd:
        line = lines.cells.text(row)
        parsed = _parse_line(line, chosen)
        if isinstance(parsed, str):
            hashes.lengths[row], names.lengths[row] = 0, 0
            broken[row] = parsed
            continue
        hash_type, digits, name = parsed
        types[row] = known.index(hash_type) + 1
        hashes.starts[row], hashes.lengths[row] = base + len(extra), len(digits)
        extra += digits
        names.starts[row], names.lengths[row] = base + len(extra), len(name)
        extra += name
    if not extra:
        return hashes, names
    buffer = np.concatenate([hashes.buffer, np.frombuffer(bytes(extra), np.uint8)])
    return Cells(buffer, hashes.starts, hashes.lengths), Cells(buffer, names.starts, names.lengths)


def _with_returns_within(lines: Lines) -> dict[int, str]:
    """Lines in which another one begins after a CR that is no end of a line here."""
    text, starts, lengths = lines.cells.buffer, lines.cells.starts, lines.cells.lengths
    returns = np.flatnonzero(text == _CR)
    if not len(returns) or (text[np.minimum(returns + 1, len(text) - 1)] == _LF).all():
        return {}
    rows = np.unique(np.searchsorted(starts, returns, "right") - 1)
    return {
        row: "a line that ends in CR alone, among others that end in LF"
        for row in rows[rows >= 0].tolist()
        if _CR_WITHIN.search(text[starts[row] : starts[row] + lengths[row]].tobytes())
    }


def _parse_line(line: bytes, chosen: str | None) -> tuple[str, bytes, bytes] | str:
    """Type, digits and name of a line; or what is wrong with it."""
    escaped = line.startswith(b"\\")
    body = line[1:] if escaped else line
    match = _BSD.fullmatch(body.rstrip(b" \t\r"))
    if match is not None:
        kind, name, digits = match[1].decode().upper(), match[2], match[3]
        if kind not in _BSD_TYPES:
            return f"{kind} is not a hash type that can be checked"
        hash_type = _BSD_TYPES[kind]
        if len(digits) != look_up(hash_type).hex_digits:
            base64 = "; is it base64?" if digits.endswith(b"=") else ""
            return f"expected {look_up(hash_type).hex_digits} hexadecimal digits, got {len(digits)}{base64}"
    else:
        digits, _, rest = body.partition(b" ")
        found = type_of(digits, chosen)
        if found == "phash" != chosen:
            return f"16 digits may be of {_OTHERS[16]}"
        if found is None or rest[:1] not in (b" ", b"*") or len(rest) < 2:
            return "expected a hash of 32, 40 or 64 hexadecimal digits, two spaces and a file name"
        hash_type, name = found, rest[1:]
    if escaped:
        name = re.sub(rb"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
    return hash_type, digits, name
