"""Undoing gzip and zstd step by step, for files and for bodies of requests.

Both formats may hold several parts, gzip members or zstd frames, one after the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Literal

Packing = Literal["gzip", "zstd"]

_LARGEST_WINDOW = 1 << 27  # bytes: memory that whoever packed it asks for


class Damaged(ValueError):
    """What is unpacked is not what its format says; the message says what is wrong with it."""


class Unpacker:
    """Unpacks bytes in steps, so that what comes out of one is bounded.

    Args:
        packing: gzip or zstd.
        step: packed bytes to take at a time; gzip makes up to a thousand of each, zstd up to 32
            thousand.
    """

    def __init__(self, packing: Packing, step: int) -> None:
        self._begin = _beginner(packing)
        self._step = step
        self._part: Any = None

    @property
    def is_inside(self) -> bool:
        """Whether a part has begun and not ended; what ends inside one is cut short."""
        return self._part is not None

    def take(self, packed: bytes | memoryview, at: int) -> tuple[bytes, int]:
        """Unpack the next step, which ends with a part if that does.

        Args:
            packed: bytes, or some of them; a part may go on in the next ones.
            at: where to begin, below their length.

        Returns:
            What comes out, which may be nothing, and where to go on.

        Raises:
            Damaged: it is not sound.
        """
        part = self._part or self._begin()
        step = packed[at : at + self._step]
        try:
            out: bytes = part.decompress(step)
        except Exception as error:  # zlib's and zstandard's have no class in common
            raise Damaged(str(error)) from error
        self._part = None if part.eof else part
        return out, at + len(step) - len(part.unused_data)


def _beginner(packing: Packing) -> Callable[[], Any]:
    """Makes what unpacks one part."""
    if packing == "gzip":
        return lambda: zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj
