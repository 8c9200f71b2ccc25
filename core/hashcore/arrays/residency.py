"""Releasing the memory of mapped files while they are read.

Pages of a mapped file count as memory of the process until the kernel takes them back. A load reads
gigabytes of them once; without this it would appear, and be charged, as if it needed all of them at
once.
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
    """Go through a column once, in parts of whole pieces; each part is released before the next.

    Args:
        column: a stored column; or an array, which is a single part and is not released.
        most_bytes: how many bytes a part should have at most.

    Yields:
        The number of the first item of a part, and the part.
    """
    let_go(column)  # looking up its pieces has mapped the pages around their beginnings
    pieces = max(1, most_bytes // (column.width << column.shift))
    for first in range(0, len(column.bases), pieces):
        start = first << column.shift
        items = min(len(column) - start, pieces << column.shift)
        part = Column(column.bases[first : first + pieces], column.shift, items, column.width, column.owner)
        yield start, part
        let_go(part)


def let_go(column: Column) -> None:
    """Release the memory of a stored column's pages; pages are read again when they are needed."""
    # For memory that is not mapped from a file, this would destroy the content.
    if _madvise is None or not isinstance(column.owner, lmdb.Transaction):
        return
    for piece, base in enumerate(column.bases.tolist()):
        items = min(len(column) - (piece << column.shift), 1 << column.shift)
        start = -(-base // _PAGE) * _PAGE
        size = (base + items * column.width) // _PAGE * _PAGE - start
        if size > 0:
            _madvise(start, size, _DONT_NEED)


def let_go_of_map(array: NDArray[Any]) -> None:
    """Release the memory of an array that was mapped with `numpy.memmap`; others are left alone."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(array, np.memmap) and isinstance(mapped, mmap.mmap) and _DONT_NEED is not None:
        mapped.madvise(_DONT_NEED)
