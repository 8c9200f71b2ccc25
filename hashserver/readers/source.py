"""Where rows come from: a file or standard input, unpacked on the way."""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, BinaryIO, Protocol

from hashserver.readers.errors import ReadError
from hashserver.readers.head import BYTE_ORDER_MARK, HEAD_BYTES, Head
from hashserver.readers.recoding import NUL_LINES, SEPARATOR_LINE, Recoding, choose_recoding

_GZIP = b"\x1f\x8b"
# RFC 8878: frames of data, and skippable frames, which may come first.
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + kind]) + b"\x2a\x4d\x18" for kind in range(16)))
_STEP = 1 << 20
_LARGEST_WINDOW = 1 << 27
# Packed bytes unpacked at a time: gzip makes a byte of up to a thousand, zstd of up to 32 thousand.
_STEPS = {"gzip": 1 << 16, "zstd": 1 << 11}


class _Decompressor(Protocol):
    """What zlib's and zstandard's objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes) -> bytes: ...


class Source:
    """Bytes to read rows from; see `open_source`.

    Args:
        file: what to read.
        name: for messages.
        total_bytes: size of the file as it lies, or None for a pipe.
        columns: names of columns by what they hold, where the user has named them.

    Text comes out as readers expect it, in UTF-8 and with LF at the end of lines; see
    `hashserver.readers.recoding`.

    Attributes:
        bytes_read: bytes of the file that were read.
        not_checkable: rows that are sound but have no hash of what they list.
        hashes_left_out: perceptual hashes of too little quality, of rows that were taken without
            them.
        ignored_columns: names of the columns that mean nothing to the reader.
        unfinished_line: the last line, when all of it was read and that line has no end.
        lines_skipped: lines before the first that is handed out.
        has_nul_lines: whether NUL ended the lines; a newline in a name comes out as NUL then.
    """

    def __init__(
        self, file: BinaryIO, name: str, total_bytes: int | None, columns: Mapping[str, str] | None = None
    ) -> None:
        self._file = file
        self.name = name
        self.total_bytes = total_bytes
        self.columns = dict(columns or {})
        self.bytes_read = 0
        self.not_checkable = 0
        self.hashes_left_out = 0
        self.ignored_columns: list[str] = []
        self.unfinished_line: int | None = None
        self.lines_skipped = 0
        self.has_nul_lines = False
        self._delimiter: int | None = None
        self._recoding: Recoding | None = None
        self._trouble: ReadError | None = None
        self._ahead = b""
        self._packed: str | None = None
        self._member: _Decompressor | None = None
        self._raw = self._read_raw(_STEP)
        self._raw_at = 0
        if self._raw.startswith(_GZIP):
            self._packed = "gzip"
        elif self._raw.startswith(_ZSTD):
            self._packed = "zstd"

    @property
    def path(self) -> str | None:
        """Where it lies as it is read, a file that is not packed; None for everything else."""
        plain = self._packed is None and self.total_bytes is not None
        return self.name if plain and os.path.isfile(self.name) else None

    @cached_property
    def head(self) -> Head:
        """The first bytes of the source; ask for it before anything is read."""
        sample = self.peek(HEAD_BYTES)
        return Head(sample, self._delimiter)

    def skip_byte_order_mark(self) -> int:
        """Skip UTF-8's byte order mark, if the source begins with one; returns how many bytes."""
        has_mark = self.peek(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK
        return len(self.read(len(BYTE_ORDER_MARK))) if has_mark else 0

    def peek(self, size: int) -> bytes:
        """The next bytes, at most `size`, without taking them; fewer only at the end."""
        while len(self._ahead) < size:
            more = self._more()
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Take the next bytes, at most `size`; empty only at the end.

        Raises:
            ReadError: the packed data are corrupt or end too early.
        """
        if not self._ahead:
            self._ahead = self._more()
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """The whole source as a seekable file; spooled to disk first if piped or packed."""
        if self._packed is None and self.total_bytes is not None:
            self._file.seek(0)
            self.bytes_read = self.total_bytes
            yield self._file
            return
        with tempfile.TemporaryFile() as spool:
            while piece := self.read(_STEP):
                spool.write(piece)
            spool.seek(0)
            yield spool

    def _more(self) -> bytes:
        """Some more bytes as they are handed out; empty only at the end.

        Raises:
            ReadError: the text is not what its first bytes say.
        """
        if self._recoding is None:
            return self._begin()
        if self._trouble is not None:
            raise self._trouble
        while piece := self._unpack():
            try:
                recoded = self._recoding.recode(piece, False)
            except UnicodeDecodeError as error:
                raise self._not_text(error) from None
            if recoded:
                return recoded
        try:
            return self._recoding.recode(b"", True)
        except UnicodeDecodeError as error:
            raise self._not_text(error) from None

    def _begin(self) -> bytes:
        """The first bytes, by which it is known how to go on."""
        first = b""
        try:
            while len(first) < HEAD_BYTES and (piece := self._unpack()):
                first += piece
        except ReadError as error:
            if not first:
                raise
            self._trouble = error  # what stands before it is read first
        self._recoding = choose_recoding(first)
        self.has_nul_lines = self._recoding is NUL_LINES
        try:
            begun = self._recoding.recode(first, False)
        except UnicodeDecodeError as error:
            raise self._not_text(error) from None
        if (named := SEPARATOR_LINE.match(begun)) is not None:
            self._delimiter, self.lines_skipped = named[1][0], 1
            begun = begun[named.end() :]
        return begun or (self._more() if first else b"")

    def _not_text(self, error: UnicodeDecodeError) -> ReadError:
        return ReadError(
            f"{self.name}: this seems to be {error.encoding.upper()}, but part of it is not; save it as UTF-8"
        )

    def _read_raw(self, size: int) -> bytes:
        piece = self._file.read(size)
        self.bytes_read += len(piece)
        return piece

    def _unpack(self) -> bytes:
        """Some more unpacked bytes; empty only at the end."""
        while True:
            if self._raw_at >= len(self._raw):
                self._raw, self._raw_at = self._read_raw(_STEP), 0
            raw = self._raw
            if self._packed is None:
                self._raw = b""
                return raw
            if not raw:
                if self._member is not None:
                    raise ReadError(
                        f"{self.name}: the {self._packed} data end too early, after {self.bytes_read:,} bytes; "
                        "is the file complete?"
                    )
                return b""
            if self._member is None and self._packed == "gzip" and raw[self._raw_at] == 0:
                # Tapes and disk images fill files up with zeros.
                self._raw_at = len(raw) - len(raw[self._raw_at :].lstrip(b"\0"))
                continue
            self._member = self._member or _decompressor(self._packed)
            step = raw[self._raw_at : self._raw_at + _STEPS[self._packed]]
            self._raw_at += len(step)
            try:
                out = self._member.decompress(step)
            except Exception as error:
                raise ReadError(
                    f"{self.name}: the {self._packed} data are corrupt near byte {self.bytes_read:,}: {error}"
                ) from error
            if self._member.eof:
                self._raw_at -= len(self._member.unused_data)
                self._member = None
            if out:
                return out


def _decompressor(packed: str) -> Any:
    if packed == "gzip":
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()


@contextmanager
def open_source(path: str, columns: Mapping[str, str] | None = None) -> Iterator[Source]:
    """Open a file, or standard input for "-"; gzip and zstd are unpacked on the way.

    Args:
        path: of the file.
        columns: see `Source`.

    Raises:
        ReadError: it cannot be opened.
    """
    with ExitStack() as stack:
        if path == "-":
            yield Source(sys.stdin.buffer, "standard input", None, columns)
            return
        try:
            file = stack.enter_context(open(path, "rb"))
            regular = os.path.isfile(path)
            source = Source(file, path, os.fstat(file.fileno()).st_size if regular else None, columns)
        except OSError as error:
            raise ReadError(f"cannot read {path}: {error.strerror}") from error
        yield source
