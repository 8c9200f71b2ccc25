"""The hashes of files: one reading for all of them, and a picture is decoded only within bounds.

What needs no picture is in `hashserver.provider.hashing.digests`, which is imported in a hundredth
of the time.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hashcore.pictures.pdq import LEAST_QUALITY, hash_picture
from hashcore.pictures.phash import SIDE, hash_grey
from hashserver.provider.hashing.digests import (
    DIGESTS,
    FAST_SIDE,
    TYPES,
    Bounds,
    Content,
    read_content,
    read_pieces,
)

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class FileHashes:
    """The hashes of one file.

    Args:
        path: as given; bytes that are not UTF-8 are replaced.
        size: bytes that were read.
        md5, sha1, sha256: digests of its content; None where not asked for.
        pdq, phash: digests of the picture; None where the file is not a picture, cannot be decoded
            within the bounds, or where not asked for.
        pdq_quality: 0 to 100; below 50 a hash says too little to be matched.
        note: why there is no perceptual hash, or why it is of no use.
    """

    path: str
    size: int
    md5: bytes | None = None
    sha1: bytes | None = None
    sha256: bytes | None = None
    pdq: bytes | None = None
    pdq_quality: int | None = None
    phash: bytes | None = None
    note: str | None = None


class NotHashed(Exception):
    """A picture without a perceptual hash; the message says why."""


def hash_file(
    path: str | bytes | os.PathLike[str], bounds: Bounds | None = None, types: Collection[str] = TYPES
) -> FileHashes:
    """Read a file once and hash it.

    Args:
        path: of the file.
        bounds: on what is decoded.
        types: the hashes to compute.

    Raises:
        OSError: it cannot be read.
    """
    bounds = bounds or Bounds()
    return hash_content(os.fsencode(path), read_content(read_pieces(path), bounds, types), bounds, types)


def hash_content(path: bytes, content: Content, bounds: Bounds, types: Collection[str]) -> FileHashes:
    """The digests of what was read and, where asked for, the hashes of the picture in it."""
    near = [name for name in types if name not in DIGESTS]
    found: dict[str, Any] = dict(content.digests)
    if near:
        try:
            if content.kept is None:
                raise NotHashed(f"larger than {bounds.picture_bytes:,} bytes")
            found |= _hash_pixels(decode_picture(content.kept, bounds), near)
        except NotHashed as reason:
            found["note"] = str(reason)
    return FileHashes(path.decode("utf-8", "replace"), content.size, **found)


def _hash_pixels(pixels: NDArray[np.uint8], near: list[str]) -> dict[str, Any]:
    hashed = hash_picture(pixels)
    found: dict[str, Any] = {"pdq_quality": hashed.quality}
    if "pdq" in near:
        found["pdq"] = hashed.digest
    if "phash" in near:
        found["phash"] = hash_small(pixels)
    if hashed.quality < LEAST_QUALITY:
        found["note"] = f"quality {hashed.quality} is below {LEAST_QUALITY}: the hash is too vague to be matched"
    return found


def warm_up() -> None:
    """Run the compiled code once, so that the first picture does not have to wait for it."""
    _hash_pixels(np.zeros((8, 8, 3), np.uint8), ["pdq", "phash"])


def hash_small(pixels: NDArray[np.uint8]) -> bytes:
    """The pHash of decoded pixels, uint8[rows, columns, 3] RGB, as `imagehash.phash` has it."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return hash_grey(np.asarray(grey, np.uint8))


def decode_picture(content: bytes, bounds: Bounds) -> NDArray[np.uint8]:
    """A picture's pixels, uint8[rows, columns, 3] RGB; of an animation the first frame.

    EXIF orientation is left alone, as the reference implementation leaves it: a rotated copy is
    what the eight variants of `hashcore.pictures.pdq.hash_variants` are for.

    Raises:
        NotHashed: it is not a picture, ends early, or is larger than the bounds allow.
    """
    _learn_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures: the bound below is ours
            with Image.open(io.BytesIO(content)) as picture:
                width, height = picture.size
                if width * height > bounds.pixels:
                    raise NotHashed(f"{width} x {height} is more than {bounds.pixels:,} pixels")
                if bounds.fast:
                    picture.draft(None, (FAST_SIDE, FAST_SIDE))  # does nothing for other formats
                return np.asarray(_to_rgb(picture), np.uint8)
    except UnidentifiedImageError:
        raise NotHashed("not a picture that can be decoded") from None
    except NotHashed:
        raise
    except Image.DecompressionBombError:
        raise NotHashed(f"more than {bounds.pixels:,} pixels") from None
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise NotHashed(f"the picture is damaged: {str(error)[:200] or type(error).__name__}") from None


@cache
def _learn_heif() -> None:
    """Let Pillow read HEIF if pillow-heif is installed (the extra `heif`); AVIF needs nothing."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP_MODES:
        # Pillow clips 16 bits to 8 rather than scaling them.
        deep: NDArray[Any] = np.asarray(picture)
        return Image.fromarray((deep.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")
