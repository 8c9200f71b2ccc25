"""Reading a file once for all its digests; what may be a picture is kept for decoding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from hashserver.provider.hashing.looked_at import HEAD_BYTES

DIGESTS = ("md5", "sha1", "sha256")
TYPES = (*DIGESTS, "pdq", "phash")
FAST_SIDE = 1024
_FIRST_STEP, _STEP = 1 << 16, 1 << 20
_MAKERS = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is decoded at most.

    Args:
        picture_bytes: size of a file that is looked into.
        pixels: of a picture.
        fast: decode a JPEG only to a half, a quarter or an eighth while both sides keep FAST_SIDE
            pixels; its hashes differ from those of the whole, by how much is in
            docs/performance.md.
    """

    picture_bytes: int = 256 << 20
    pixels: int = 150_000_000
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What one reading of a file or an object has given.

    Args:
        size: bytes.
        digests: by type.
        kept: the bytes, where a picture may be in them; None where not asked for, or larger than is
            decoded.
        head: the first bytes.
    """

    size: int
    digests: dict[str, bytes]
    kept: bytes | None
    head: bytes = b""


def read_pieces(path: str | bytes | os.PathLike[str]) -> Iterator[bytes]:
    """The content of a file, as pieces of up to 1 MiB."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        piece = os.read(file, _FIRST_STEP)
        while piece:
            yield piece
            piece = os.read(file, _STEP)
    finally:
        os.close(file)


def read_content(pieces: Iterable[bytes], bounds: Bounds, types: Collection[str]) -> Content:
    """Digest pieces as they come, and keep them where a perceptual hash is asked for."""
    digests = {name: _MAKERS[name](usedforsecurity=False) for name in DIGESTS if name in types}
    kept: bytearray | None = bytearray() if any(name not in DIGESTS for name in types) else None
    size, head = 0, b""
    for piece in pieces:
        if not size:
            head = piece[:HEAD_BYTES]
        size += len(piece)
        for digest in digests.values():
            digest.update(piece)
        if kept is not None:
            if size <= bounds.picture_bytes:
                kept += piece
            else:
                kept = None
    found = {name: digest.digest() for name, digest in digests.items()}
    return Content(size, found, None if kept is None else bytes(kept), head)
