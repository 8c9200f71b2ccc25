"""Undoing Content-Encoding, up to a size limit."""

from __future__ import annotations

from hashserver.readers.unpacking import Damaged, Packing, Unpacker
from hashserver.server.problems import malformed, too_large, unsupported

# Small steps: what is left of a step when a part ends is copied, and a body may be made of millions
# of parts; and four bytes of zstd may come out as 128 KiB, which nothing else bounds.
_STEP = 512
_PACKINGS: dict[str, Packing] = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


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
    packing = _PACKINGS.get(chosen)
    if packing is None:
        raise unsupported(
            "the Content-Encoding is not supported; use gzip, zstd, or none", Accept_Encoding="gzip, zstd"
        )
    out = bytearray()
    packed, at = memoryview(body), 0
    unpacker = Unpacker(packing, _STEP)
    while at < len(packed):
        try:
            piece, at = unpacker.take(packed, at)
        except Damaged as error:
            raise malformed(f"the body is not valid {packing}: {error}") from None
        out += piece
        if len(out) > limit:
            raise too_large(
                f"the body unpacks to more than {limit:,} bytes; send the hashes in smaller requests", limit
            )
    if unpacker.is_inside or not len(packed):
        raise malformed(f"the {packing} body is cut short", offset=len(body))
    return out
