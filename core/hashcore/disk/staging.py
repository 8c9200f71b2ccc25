"""Writing columns before they are published: piece by piece, in small durable transactions.

They are written by a thread of their own. What is staged belongs to objects that no manifest names,
so it cannot be seen before it is published; the next change deletes what a killed load has staged.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.xxh64 import checksum
from hashcore.disk.environment import SMALL_CHANGE, Environment
from hashcore.disk.layout import KEY_NEXT, ColumnSpec, piece_key, read_number

PIECE_BYTES = 4 << 20
_TRANSACTION_BYTES = 32 << 20
_IN_FLIGHT = 2


class Stage:
    """A queue of pieces on their way to the disk, written in order by one thread.

    Args:
        environment: the environment to write to.
        piece_bytes: the most bytes that a piece of a column may have.
    """

    def __init__(self, environment: Environment, *, piece_bytes: int = PIECE_BYTES) -> None:
        self.environment = environment
        self.piece_bytes = piece_bytes
        self._pending: list[tuple[bytes, NDArray[np.uint8]]] = []
        self._pending_bytes = 0
        self._bytes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="hashcore-stage")
        self._writes: deque[Future[None]] = deque()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(wait=True, cancel_futures=True)

    def new_object(self) -> int:
        """Reserve an object number, durably, so that no number is ever used twice."""
        number = 0

        def reserve(transaction: Any) -> None:
            nonlocal number
            number = read_number(transaction, KEY_NEXT) + 1
            transaction.put(KEY_NEXT, number.to_bytes(8, "little"))

        self._writer.submit(self.environment.write, reserve, room=1 << 16).result()
        return number

    def put(self, key: bytes, piece: NDArray[np.uint8]) -> None:
        """Queue a piece; the caller must not change it afterwards."""
        self._pending.append((key, piece))
        self._pending_bytes += piece.nbytes
        if self._pending_bytes >= _TRANSACTION_BYTES:
            self._submit()

    def check_space(self, room: int) -> None:
        """Make sure that the disk has room for more bytes; see `Environment.check_space`.

        Raises:
            StoreFull: it has not.
        """
        self.environment.check_space(room, small=self._bytes + room <= SMALL_CHANGE)

    def flush(self) -> None:
        """Wait until all queued pieces are on disk; raises what went wrong in writing them."""
        self._submit()
        while self._writes:
            self._writes.popleft().result()

    def _submit(self) -> None:
        pieces, room = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        if not pieces:
            return
        self.check_space(room)
        self._bytes += room

        def apply(transaction: Any) -> None:
            for key, piece in pieces:
                transaction.put(key, piece.data)

        while len(self._writes) >= _IN_FLIGHT:
            self._writes.popleft().result()
        self._writes.append(self._writer.submit(self.environment.write, apply, room=room + (1 << 20)))


class ColumnWriter:
    """Cuts the items appended to a column into pieces.

    Args:
        stage: receives the pieces.
        number: the number of the object that the column belongs to.
        name: the name of the column.
        width: bytes in an item.
        piece_bytes: the most bytes that a piece may have, if less than for the stage.
    """

    def __init__(
        self, stage: Stage, number: int, name: str, width: int, *, piece_bytes: int = PIECE_BYTES
    ) -> None:
        self._stage, self._number, self._name, self._width = stage, number, name, width
        self._shift = max(0, (min(stage.piece_bytes, piece_bytes) // width).bit_length() - 1)
        self._piece = np.empty((0, width), np.uint8)
        self._filled = 0
        self._items = 0
        self._checksums: list[int] = []

    def append(self, items: NDArray[Any]) -> None:
        """Append n items: an array of n elements of `width` bytes, or uint8[n, width]."""
        rows = np.ascontiguousarray(items).view(np.uint8).reshape(-1, self._width)
        done = 0
        while done < len(rows):
            if self._filled == len(self._piece):
                self._emit()
                self._piece = np.empty((1 << self._shift, self._width), np.uint8)
            take = min(len(rows) - done, len(self._piece) - self._filled)
            self._piece[self._filled : self._filled + take] = rows[done : done + take]
            self._filled += take
            done += take
        self._items += len(rows)

    def finish(self) -> ColumnSpec:
        """Queue the last piece, and return the shape of the column."""
        self._emit()
        return ColumnSpec(self._width, self._items, self._shift, self._checksums)

    def _emit(self) -> None:
        if self._filled:
            piece = self._piece[: self._filled].reshape(-1)
            self._checksums.append(checksum(piece))
            self._stage.put(piece_key(self._number, self._name, len(self._checksums) - 1), piece)
        self._piece, self._filled = np.empty((0, self._width), np.uint8), 0
