"""Undoing Content-Encoding, up to a size limit."""

from __future__ import annotations

import zlib

from hashserver.server.problems import Problem, malformed, too_large, unsupported

# Small steps in: what is left of a step when a member or frame ends is copied, and a body may be
# made of millions of them; and four bytes of zstd may come out as 128 KiB, which nothing else
# bounds.
_STEP = 512
_LARGEST_WINDOW = 1 << 27


def unpack(body: bytes | bytearray, encoding: str | None, limit: int) -> bytes | bytearray:
    """Unpack a body.

    Args:
        body: as received.
        encoding: the Content-Encoding header: gzip, zstd, identity or none.
        limit: bytes that it may unpack to.

    Raises:
        Problem: 400 when the body is corrupt or cut short, 413 as soon as more than `limit` bytes
            come out, 415 when the encoding is not supported.
    """
    chosen = (encoding or "identity").strip().lower()
    if chosen == "identity":
        return body
    if chosen in ("gzip", "x-gzip"):
        return _gunzip(body, limit)
    if chosen == "zstd":
        return _unzstd(body, limit)
    raise unsupported(
        "the Content-Encoding is not supported; use gzip, zstd, or none", Accept_Encoding="gzip, zstd"
    )


def _gunzip(body: bytes | bytearray, limit: int) -> bytearray:
    out = bytearray()
    packed, at = memoryview(body), 0
    while True:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                step = packed[at : at + _STEP]
                if not step:
                    raise malformed("the gzip body is cut short", offset=len(body))
                out += member.decompress(step, limit + 1 - len(out))
                if len(out) > limit:
                    raise _over(limit)
                at += len(step) - len(member.unused_data)
        except zlib.error as error:
            raise malformed(f"the body is not valid gzip: {error}") from None
        if at == len(packed):
            return out


def _unzstd(body: bytes | bytearray, limit: int) -> bytearray:
    import zstandard

    out = bytearray()
    packed, at = memoryview(body), 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    while True:
        frame = decompressor.decompressobj()
        try:
            while not frame.eof:
                step = packed[at : at + _STEP]
                if not step:
                    raise malformed("the zstd body is cut short", offset=len(body))
                out += frame.decompress(step)
                if len(out) > limit:
                    raise _over(limit)
                at += len(step) - len(frame.unused_data)
        except zstandard.ZstdError as error:
            raise malformed(f"the body is not valid zstd: {error}") from None
        if at == len(packed):
            return out


def _over(limit: int) -> Problem:
    return too_large(f"the body unpacks to more than {limit:,} bytes; send the hashes in smaller requests", limit)
