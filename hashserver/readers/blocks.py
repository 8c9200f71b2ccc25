"""Cutting a source into blocks of whole records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hashcore.rows import Reject
from hashserver.readers.cells import MOST_REJECT_BYTES
from hashserver.readers.source import Source

BLOCK_BYTES = 8 << 20
"""How much text the readers hold at a time."""

LONGEST_RECORD = 1 << 20

_Records = TypeVar("_Records", bound=Sized)

Parse = Callable[[NDArray[np.uint8], int, bool], tuple[_Records, int, int]]
"""Finds the whole records in a block: (uint8[size], number of its first line, whether the source
ends here) to (records, bytes taken, lines taken)."""


class Blocks:
    """Cuts the text of a source into whole records, a block at a time.

    Args:
        source: of the text; a byte order mark at its beginning is skipped.
        on_reject: called with records longer than `LONGEST_RECORD`, which are skipped without
            being held.
        block_bytes: how much to hold at a time.
    """

    def __init__(
        self, source: Source, on_reject: Callable[[Reject], None], block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._source, self._on_reject, self._block_bytes = source, on_reject, block_bytes
        self._longest = min(LONGEST_RECORD, max(block_bytes * 4, 1024))
        source.skip_byte_order_mark()
        self._line = 1 + source.lines_skipped

    def cut(self, parse: Parse[_Records]) -> Iterator[_Records]:
        """What `parse` finds in one block after another; blocks without records are left out."""
        rest = b""
        ended = False
        while not ended or rest:
            text, ended = self._fill(rest)
            if not text:
                return
            if ended and text[text.rfind(b"\n") + 1 :].strip(b" \t\r\0"):
                self._source.unfinished_line = self._line + text.count(b"\n")
            # A copy: kernels are compiled for writable arrays, and `bytes` are not.
            buffer = np.frombuffer(bytearray(text), np.uint8)
            records, taken, lines = parse(buffer, self._line, ended)
            self._line += lines
            if len(records):
                yield records
            rest = text[taken:]
            if ended and taken == 0:
                return
            if taken == 0 and len(rest) >= self._longest:
                rest, ended = self._skip(rest)

    def _fill(self, rest: bytes) -> tuple[bytes, bool]:
        parts, size = [rest], 0
        while size < self._block_bytes:
            piece = self._source.read(self._block_bytes - size)
            if not piece:
                return b"".join(parts), True
            parts.append(piece)
            size += len(piece)
        return b"".join(parts), False

    def _skip(self, rest: bytes) -> tuple[bytes, bool]:
        """Skip the rest of a record that is too long, to the end of its line."""
        reason = f"longer than {self._longest:,} bytes; is the format right?"
        self._on_reject(Reject(self._line, reason, rest[:MOST_REJECT_BYTES]))
        while True:
            end = rest.find(b"\n")
            if end >= 0:
                self._line += 1
                return rest[end + 1 :], False
            rest = self._source.read(self._block_bytes)
            if not rest:
                return b"", True
