"""Text in other clothes: UTF-16, lines that end in CR or NUL. Readers see UTF-8 and LF.

What a file is, is decided by its first bytes; see `choose_recoding`.
"""

from __future__ import annotations

import codecs
import re
from typing import Protocol

from hashserver.readers.head import HEAD_BYTES

SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=([,;\t|])\"?[,;\t|]*\r?\n", re.IGNORECASE)
"""The line by which Excel is told the separator of the CSV that follows."""

_BINARY = (b"PAR1", b"SQLite format 3\0")
_SHORTEST = 8  # bytes by which UTF-16 is told without a byte order mark
_LOOKED_AT = 256
_NUL_LINE = re.compile(
    rb"\\?[0-9A-Fa-f]{8,128}(?: [ *].+)?|[A-Za-z][A-Za-z0-9/-]+ ?\(.+\) ?= ?[0-9A-Za-z+/=]+", re.DOTALL
)
_MOST_NUL_LINES = 20  # that are looked at
_SWAPPED = bytes.maketrans(b"\n\0", b"\0\n")


class Recoding(Protocol):
    """How pieces of a file become the text that readers see."""

    def recode(self, piece: bytes, final: bool) -> bytes:
        """The text of the next piece, of which some may be kept back unless it is the final one.

        Raises:
            UnicodeDecodeError: it is not what the first bytes said.
        """


class AsItIs:
    """Nothing changes."""

    def recode(self, piece: bytes, final: bool) -> bytes:
        """The piece itself."""
        return piece


class NulLines:
    """Lines that end in NUL, as those of `md5sum -z`; their names may hold newlines."""

    def recode(self, piece: bytes, final: bool) -> bytes:
        """The piece with NUL and LF in each other's place."""
        return piece.translate(_SWAPPED)


class CarriageReturns:
    """Lines that end in CR alone, as on old Macs."""

    def recode(self, piece: bytes, final: bool) -> bytes:
        """The piece with LF for CR."""
        return piece.replace(b"\r", b"\n")


class Utf16:
    """UTF-16, as Excel and PowerShell write it.

    Args:
        codec: utf-16-le or utf-16-be.
    """

    def __init__(self, codec: str) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)()

    def recode(self, piece: bytes, final: bool) -> bytes:
        """The piece in UTF-8."""
        return self._decoder.decode(piece, final).encode("utf-8", "surrogatepass")


AS_IT_IS, NUL_LINES, CARRIAGE_RETURNS = AsItIs(), NulLines(), CarriageReturns()


def choose_recoding(first: bytes) -> Recoding:
    """How to read a file.

    XML in UTF-16 is left to its parser, which reads what the document says of itself.

    Args:
        first: its first bytes, or all of it.
    """
    if first.startswith(_BINARY):
        return AS_IT_IS
    codec = _utf16(first)
    if codec is not None:
        is_xml = first[: _LOOKED_AT & ~1].decode(codec, "ignore").lstrip("\ufeff \t\r\n").startswith("<")
        return AS_IT_IS if is_xml else Utf16(codec)
    if b"\0" in first:
        return NUL_LINES if _ends_in_nul(first) else AS_IT_IS
    return CARRIAGE_RETURNS if b"\r" in first and b"\n" not in first else AS_IT_IS


def _ends_in_nul(first: bytes) -> bool:
    """Whether lines of a listing end in NUL; a name may hold a stray one."""
    *lines, rest = first.split(b"\0", _MOST_NUL_LINES + 1)
    if len(lines) <= _MOST_NUL_LINES and len(first) < HEAD_BYTES and rest:
        return False
    return all(map(_NUL_LINE.fullmatch, lines))


def _utf16(first: bytes) -> str | None:
    """The byte order of UTF-16; None for what is not UTF-16."""
    if first.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return None  # UTF-32
    if first.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if first.startswith(b"\xfe\xff"):
        return "utf-16-be"
    looked_at = first[: min(_LOOKED_AT, len(first) & ~1)]
    if len(looked_at) < _SHORTEST:
        return None
    even, odd = looked_at[::2], looked_at[1::2]
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None
