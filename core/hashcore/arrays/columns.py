"""Columns: long arrays of fixed-width items, in pieces that may lie anywhere in memory.

A column of the store is a sequence of equal-sized pieces, each of them an LMDB value that is read
in place. A numpy array is a column of one piece. Kernels take the fields of a `Column` and find
item `i` with `item_address`: one load from a table that stays in the first-level cache.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

_ONE_PIECE = 63


@dataclass(frozen=True, slots=True)
class Column:
    """n items of a fixed width in pieces of 2**shift items.

    Args:
        bases: uint64[pieces], the address of each piece.
        shift: log2 of the items in a piece; the last piece may be shorter.
        items: n.
        width: bytes in an item.
        owner: what must stay alive for the addresses to be valid.
    """

    bases: NDArray[np.uint64]
    shift: int
    items: int
    width: int
    owner: object

    def __len__(self) -> int:
        return self.items

    def read(self, start: int, items: int) -> bytes:
        """Copy a few items, for values that end up as Python objects."""
        within = start & ((1 << self.shift) - 1)
        if within + items <= 1 << self.shift:
            address = int(self.bases[start >> self.shift]) + within * self.width
            return ctypes.string_at(address, items * self.width)
        take = (1 << self.shift) - within
        return self.read(start, take) + self.read(start + take, items - take)

    @classmethod
    def of(cls, array: NDArray[np.generic]) -> Column:
        """View a C-contiguous array as a column; an item is an element, or a row of a matrix."""
        if not array.flags.c_contiguous:
            raise ValueError("a column needs a C-contiguous array")
        width = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
        bases = np.array([array.ctypes.data], np.uint64)
        return cls(bases, _ONE_PIECE, len(array), width, array)


@nb.njit(cache=True, nogil=True, inline="always")
def item_address(bases: NDArray[np.uint64], shift: np.uint64, width: np.uint64, i: np.uint64) -> np.uint64:
    """The address of item i of a column. All integers must be unsigned: numba would use floats."""
    within = i & ((np.uint64(1) << shift) - np.uint64(1))
    return np.uint64(bases[i >> shift] + within * width)
