"""Giving the space of free pages back to the file system.

LMDB keeps the pages that nothing needs any more in a list, for later commits, and its file never
becomes shorter. A page of that list that no reader and neither meta page can reach is never read
again before it is written, so its bytes may become a hole: the file stays as long as it is, and the
disk has the space back.

The list is read from the file as LMDB lays it out (`mdb.c`, data version 1): a tree whose keys are
numbers of transactions, each with the pages that this transaction has freed. The pages of
transaction n are used by snapshots before n, so they may go when the oldest reader, and the older
of the two meta pages, see n or later: the rule by which LMDB itself uses them again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MAGIC, _DATA_VERSION = 0xBEEFC0DE, 1
_META = struct.Struct("<16xIIQQIHHQQQQQ48xQQ")  # of a meta page, up to the number of its transaction
_HEADER_BYTES, _NODE_BYTES = 16, 8
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4  # kinds of pages
_ON_OVERFLOW_PAGES = 1  # flag of a node whose value stands on pages of its own
_NO_ROOT = (1 << 64) - 1
_DEEPEST = 32
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of fallocate(2)

_library = ctypes.CDLL(None, use_errno=True)


class _Unreadable(Exception):
    """The file is not laid out as expected; nothing of it may be given back."""


@dataclass(frozen=True, slots=True)
class FreePages:
    """Pages that nothing can read any more.

    Args:
        page_bytes: bytes in a page.
        pages: how many pages the file has.
        idle: the numbers of those that may be given back, ascending.
        waiting: how many more are free, but may still be seen by a reader or a meta page.
    """

    page_bytes: int
    pages: int
    idle: NDArray[np.int64]
    waiting: int

    def ranges(self, fewest: int) -> Iterator[tuple[int, int]]:
        """Runs of idle pages, as the first page and how many, of at least so many pages."""
        if not len(self.idle):
            return
        ends = np.flatnonzero(np.diff(self.idle) != 1)
        firsts = np.concatenate([[0], ends + 1])
        lasts = np.concatenate([ends, [len(self.idle) - 1]])
        counts = lasts - firsts + 1
        for first, count in zip(firsts[counts >= fewest], counts[counts >= fewest], strict=True):
            yield int(self.idle[first]), int(count)


def find_free_pages(descriptor: int, last_transaction: int, oldest_reader: int | None) -> FreePages | None:
    """The pages that may be given back. The caller must hold LMDB's writer lock.

    Args:
        descriptor: of the data file.
        last_transaction: the newest committed one, according to LMDB.
        oldest_reader: the lowest transaction that a reader of any process sees; None without any.

    Returns:
        None if the file is not laid out as expected, or cannot be read.
    """
    try:
        return _find(descriptor, last_transaction, oldest_reader)
    except (_Unreadable, struct.error, OSError, ValueError):
        return None


def _find(descriptor: int, last_transaction: int, oldest_reader: int | None) -> FreePages:
    page_bytes, root, last_page, transaction = max(
        (_meta(os.pread(descriptor, _META.size, 0)), _second_meta(descriptor)), key=lambda meta: meta[3]
    )
    if transaction != last_transaction:
        raise _Unreadable
    # As LMDB: the snapshot before the newest has to stay whole, for a start after a power cut.
    before = min(last_transaction, last_transaction if oldest_reader is None else oldest_reader)
    idle, waiting = [np.empty(0, np.int64)], 0
    if root != _NO_ROOT:
        for freed_by, pages in _records(descriptor, page_bytes, root, _DEEPEST):
            if len(pages) and not 2 <= pages.min() <= pages.max() <= last_page:
                raise _Unreadable
            if freed_by < before:
                idle.append(pages)
            else:
                waiting += len(pages)
    numbers = np.unique(np.concatenate(idle))
    if len(numbers) != sum(map(len, idle)):
        raise _Unreadable  # a page that is free twice
    return FreePages(page_bytes, last_page + 1, numbers, waiting)


def _meta(page: bytes) -> tuple[int, int, int, int]:
    """Page size, root of the free list, last page and transaction, of a meta page."""
    magic, version, _, _, page_bytes, _, _, _, _, _, _, root, last_page, transaction = _META.unpack(page)
    if magic != _MAGIC or version != _DATA_VERSION or page_bytes < 512 or page_bytes & (page_bytes - 1):
        raise _Unreadable
    return page_bytes, root, last_page, transaction


def _second_meta(descriptor: int) -> tuple[int, int, int, int]:
    page_bytes = _meta(os.pread(descriptor, _META.size, 0))[0]
    return _meta(os.pread(descriptor, _META.size, page_bytes))


def _records(descriptor: int, page_bytes: int, number: int, depth: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The records below a page of the free list: a transaction, and the pages that it has freed."""
    page = _page(descriptor, page_bytes, number, 1)
    kind, lower = struct.unpack_from("<HH", page, 10)
    if not depth or not kind & (_BRANCH | _LEAF) or not _HEADER_BYTES <= lower <= page_bytes:
        raise _Unreadable
    for at in struct.unpack_from(f"<{(lower - _HEADER_BYTES) // 2}H", page, _HEADER_BYTES):
        low, high, flags, key_bytes = struct.unpack_from("<HHHH", page, at)
        if kind & _BRANCH:
            yield from _records(descriptor, page_bytes, low | high << 16 | flags << 32, depth - 1)
            continue
        (freed_by,) = struct.unpack_from("<Q", page, at + _NODE_BYTES)
        value_bytes, value_at = low | high << 16, at + _NODE_BYTES + key_bytes
        value = page[value_at : value_at + value_bytes]
        if flags & _ON_OVERFLOW_PAGES:
            (first,) = struct.unpack_from("<Q", page, value_at)
            value = _overflow(descriptor, page_bytes, first, value_bytes)
        if key_bytes != 8 or len(value) != value_bytes:
            raise _Unreadable
        words = np.frombuffer(value, "<u8")
        if not len(words) or not 0 <= words[0] < len(words):
            raise _Unreadable
        yield freed_by, words[1 : 1 + int(words[0])].astype(np.int64)


def _overflow(descriptor: int, page_bytes: int, first: int, value_bytes: int) -> bytes:
    count = -(-(_HEADER_BYTES + value_bytes) // page_bytes)
    pages = _page(descriptor, page_bytes, first, count)
    kind, stored = struct.unpack_from("<HI", pages, 10)
    if not kind & _OVERFLOW or stored < count:
        raise _Unreadable
    return pages[_HEADER_BYTES : _HEADER_BYTES + value_bytes]


def _page(descriptor: int, page_bytes: int, number: int, count: int) -> bytes:
    data = os.pread(descriptor, count * page_bytes, number * page_bytes)
    if len(data) != count * page_bytes or struct.unpack_from("<Q", data)[0] != number:
        raise _Unreadable
    return data


def punch(descriptor: int, offset: int, length: int) -> bool:
    """Give the space of a part of a file back; it reads as zeros then, and the size stays.

    Returns:
        False if the file system cannot do this.
    """
    fallocate = getattr(_library, "fallocate64", None) or getattr(_library, "fallocate", None)
    if fallocate is None:
        return False
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    while fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length):
        if ctypes.get_errno() != errno.EINTR:
            return False
    return True
