"""Undoing Content-Encoding within a bound."""

from __future__ import annotations

import zlib

from hashserver.problems import Problem, malformed, too_large, unsupported

_STEP = 1 << 20
_LARGEST_WINDOW = 1 << 27


def unpack(body: bytes | bytearray, encoding: str | None, limit: int) -> bytes | bytearray:
    """Unpack a body.

    Args:
        body: as received.
        encoding: the Content-Encoding header: gzip, zstd, identity or none.
        limit: bytes that may come out.

    Raises:
        Problem: 400 when the body is corrupt or cut short, 413 when more than `limit` bytes come out (as
            soon as they do), 415 when the encoding is another.
    """
    chosen = (encoding or "identity").strip().lower()
    if chosen == "identity":
        return body
    if chosen in ("gzip", "x-gzip"):
        return _gunzip(body, limit)
    if chosen == "zstd":
        return _unzstd(body, limit)
    raise unsupported(
        "the Content-Encoding is not one that is read; use gzip, zstd, or none", Accept_Encoding="gzip, zstd"
    )


def _gunzip(body: bytes | bytearray, limit: int) -> bytearray:
    out = bytearray()
    rest: bytes | memoryview = memoryview(body)
    while True:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                piece = member.decompress(rest, min(_STEP, limit + 1 - len(out)))
                rest = member.unconsumed_tail
                out += piece
                if len(out) > limit:
                    raise _over(limit)
                if not piece and not rest and not member.eof:
                    raise malformed("the gzip body is cut short", offset=len(body))
        except zlib.error as error:
            raise malformed(f"the body is not sound gzip: {error}") from None
        rest = member.unused_data
        if not rest:
            return out


def _unzstd(body: bytes | bytearray, limit: int) -> bytearray:
    import zstandard

    out = bytearray()
    rest = bytes(body)
    while True:
        frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
        try:
            # Small steps in, because each may come out as much as 128 KiB a block.
            for start in range(0, len(rest), 4096):
                out += frame.decompress(rest[start : start + 4096])
                if len(out) > limit:
                    raise _over(limit)
                if frame.eof:
                    rest = frame.unused_data + rest[start + 4096 :]
                    break
        except zstandard.ZstdError as error:
            raise malformed(f"the body is not sound zstd: {error}") from None
        if not frame.eof:
            raise malformed("the zstd body is cut short", offset=len(body))
        if not rest:
            return out


def _over(limit: int) -> Problem:
    return too_large(f"the body unpacks to more than {limit:,} bytes; send the hashes in smaller requests", limit)
