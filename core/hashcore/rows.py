"""Rows on their way into a set or a check: columns of arrays, as readers produce them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint8]
"""Digests of one type, uint8[n, width], C-contiguous."""


@dataclass(frozen=True, slots=True)
class Strings:
    """n byte strings in one buffer, laid out as Arrow does.

    Args:
        data: uint8[total], the strings back to back (UTF-8 where the source was text).
        offsets: int64[n + 1], ascending from 0; string i is data[offsets[i]:offsets[i + 1]].
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Strings:
        """Pack a sequence of byte strings into one buffer."""
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=offsets[1:])
        return cls(np.frombuffer(b"".join(values), np.uint8), offsets)


@dataclass(frozen=True, slots=True)
class HashColumn:
    """One hash type of a block of rows.

    Args:
        digests: uint8[n, width]; rows without this hash hold zeros.
        present: bool[n], or None when every row has the hash.
    """

    digests: Digests
    present: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Categories:
    """The category of each row, as codes into a short list.

    Args:
        codes: int32[n], an index into names; -1 where the row names none.
        names: the distinct categories of the block.
    """

    codes: NDArray[np.int32]
    names: list[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of n well-formed rows. Every row has at least one hash.

    Args:
        lines: int64[n], the line or record number of each row in its source, from 1.
        hashes: hash columns by type name.
        categories: the rows' own categories, or None when the source has no such column.
        ids: the rows' external ids (empty: none), or None when the source has no such column.
        names: what each row describes (a file name in a listing), or None.
    """

    lines: NDArray[np.int64]
    hashes: dict[str, HashColumn] = field(default_factory=dict)
    categories: Categories | None = None
    ids: Strings | None = None
    names: Strings | None = None

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """Ids of entries that the source has withdrawn.

    Args:
        lines: int64[n], the line or record number of each id in its source, from 1.
        ids: n external ids.
    """

    lines: NDArray[np.int64]
    ids: Strings

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not loaded.

    Args:
        line: its line or record number in its source, from 1.
        reason: why, in one sentence.
        text: the row as it was written, cut to 1,000 bytes.
    """

    line: int
    reason: str
    text: bytes
