"""ETags of objects in S3: the MD5 of what is in them, or not.

An ETag is not an MD5 when the object was uploaded in parts (it has a dash then) or is encrypted
with a key of KMS or of the customer. Such objects cannot be checked without reading them; they are
counted in `Source.not_checkable` and are not errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Reject, Rows
from hashserver.readers.cells import Cells, Decoded, assemble, categories_of, decode_cells, strings_of, trim
from hashserver.readers.source import Source

MD5_ENCRYPTIONS = frozenset({"", "NOT-SSE", "SSE-S3"})
"""What an inventory calls the encryptions that leave the ETag an MD5."""

_PERCENT, _PLUS, _SPACE = 0x25, 0x2B, 0x20


@dataclass(frozen=True, slots=True)
class InventoryColumns:
    """Positions of the columns that are read, and how many there are."""

    key: int
    etag: int
    encryption: int | None
    count: int


def columns_in(names: Sequence[str]) -> InventoryColumns | None:
    """The columns of an inventory, by their names; None when these are not of an inventory."""
    plain = [name.strip().lower().replace("_", "") for name in names]
    if "key" not in plain or "etag" not in plain:
        return None
    encryption = plain.index("encryptionstatus") if "encryptionstatus" in plain else None
    return InventoryColumns(plain.index("key"), plain.index("etag"), encryption, len(plain))


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
        plain = np.array([*(name.upper() in MD5_ENCRYPTIONS for name in status.names), True], np.bool_)
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
        [
            Decoded(
                decoded.hash_type, decoded.digests[usable], decoded.present[usable], decoded.bad[usable], explain
            )
        ],
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
    """Undo URL encoding of form values in place: %41 stands for A and + for a space. O(size)."""
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
