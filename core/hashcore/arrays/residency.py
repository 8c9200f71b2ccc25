"""Giving back memory that mapped files take while they are gone through.

Pages of a mapped file count as the process's memory until the kernel wants them back. A load goes
through gigabytes of them once; without this it would look, and be billed, as if it needed them all
at once.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column

PASSING_BYTES = 64 << 20
_PAGE = mmap.PAGESIZE
_DONT_NEED = getattr(mmap, "MADV_DONTNEED", None)  # absent on Windows
_madvise: Any = getattr(ctypes.CDLL(None), "madvise", None) if _DONT_NEED is not None else None
if _madvise is not None:
    _madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def passing(column: Column, most_bytes: int = PASSING_BYTES) -> Iterator[tuple[int, Column]]:
    """Go through a column once, in parts of whole pieces; each is let go of when the next is asked for.

    Args:
        column: a stored one, or an array: that is one part, and stays.
        most_bytes: size to aim at for a part.

    Yields:
        the item that a part begins with, and the part.
    """
    let_go(column)  # finding its pieces has mapped what lies around their beginnings
    pieces = max(1, most_bytes // (column.width << column.shift))
    for first in range(0, len(column.bases), pieces):
        start = first << column.shift
        items = min(len(column) - start, pieces << column.shift)
        part = Column(column.bases[first : first + pieces], column.shift, items, column.width, column.owner)
        yield start, part
        let_go(part)


def let_go(column: Column) -> None:
    """Take the pages of a stored column out of this process's memory; whoever needs one again gets it again."""
    # Of memory that is no file's, this would destroy the content.
    if _madvise is None or not isinstance(column.owner, lmdb.Transaction):
        return
    for piece, base in enumerate(column.bases.tolist()):
        items = min(len(column) - (piece << column.shift), 1 << column.shift)
        start = -(-base // _PAGE) * _PAGE
        size = (base + items * column.width) // _PAGE * _PAGE - start
        if size > 0:
            _madvise(start, size, _DONT_NEED)


def let_go_of_map(array: NDArray[Any]) -> None:
    """The same for an array that was mapped from a file with `numpy.memmap`; others stay."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(array, np.memmap) and isinstance(mapped, mmap.mmap) and _DONT_NEED is not None:
        mapped.madvise(_DONT_NEED)
