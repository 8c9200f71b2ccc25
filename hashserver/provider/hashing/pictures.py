"""The hashes of files: one reading for all of them, and a picture is decoded only within bounds.

What needs no picture is in `hashserver.provider.hashing.digests`, which is imported in a hundredth
of the time.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from hashcore.pictures.pdq import hash_picture
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
from hashserver.provider.hashing.looked_at import NotLookedAt, picture_kind
from hashserver.provider.hashing.mending import mended

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_NOT_PICTURES = frozenset(("EPS", "PDF", "WMF"))  # pages to draw, by programs that are not bounded
_ROW_BY_ROW = frozenset(("JPEG", "PNG", "GIF", "BMP", "TIFF"))  # of which a part shows a part
_ENDS_EARLY = "the picture ends early, and was hashed as far as it goes"
_SWITCHING = threading.Lock()  # how lenient Pillow is, is a switch of the whole process


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
        note: why there is no perceptual hash, why it is of no use, or what is odd about it.
        vague: the perceptual hashes say too little to be matched.
        not_looked_at: why the picture that the file is could not be looked at; None where it was,
            and where the file is no picture.
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
    vague: bool = False
    not_looked_at: NotLookedAt | None = None


class DecodedPicture(NamedTuple):
    """A picture's pixels, uint8[rows, columns, 3] RGB, and whether the file ended before it did."""

    pixels: NDArray[np.uint8]
    ends_early: bool = False


class NotHashed(Exception):
    """A file without a perceptual hash; the message says why.

    Args:
        reason: the sentence.
        kind: why the picture that it is was not looked at; None for what is no picture.
    """

    def __init__(self, reason: str, kind: NotLookedAt | None = None) -> None:
        super().__init__(reason)
        self.kind = kind


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
                is_picture = picture_kind(content.head) is not None
                reason = f"larger than {bounds.picture_bytes:,} bytes"
                raise NotHashed(reason, NotLookedAt.TOO_LARGE if is_picture else None)
            found |= _hash_decoded(decode(content.kept, bounds), near)
        except NotHashed as reason:
            found |= {"note": str(reason), "not_looked_at": reason.kind}
    return FileHashes(path.decode("utf-8", "replace"), content.size, **found)


def _hash_decoded(decoded: DecodedPicture, near: list[str]) -> dict[str, Any]:
    pixels = decoded.pixels
    hashed = hash_picture(pixels)
    if decoded.ends_early and hashed.vague is not None:
        raise NotHashed("the picture ends early, and too little of it is there", NotLookedAt.NOT_DECODABLE)
    found: dict[str, Any] = {"pdq_quality": hashed.quality}
    if "pdq" in near:
        found["pdq"] = hashed.digest
    if "phash" in near:
        found["phash"] = hash_small(pixels)
    if hashed.vague is not None:
        found |= {"note": f"{hashed.vague}: the hash is too vague to be matched", "vague": True}
    elif decoded.ends_early:
        found["note"] = _ENDS_EARLY
    return found


def warm_up() -> None:
    """Run the compiled code once, so that the first picture does not have to wait for it."""
    _hash_decoded(DecodedPicture(np.zeros((8, 8, 3), np.uint8)), ["pdq", "phash"])


def hash_small(pixels: NDArray[np.uint8]) -> bytes:
    """The pHash of decoded pixels, uint8[rows, columns, 3] RGB, as `imagehash.phash` has it."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return hash_grey(np.asarray(grey, np.uint8))


def decode_picture(content: bytes, bounds: Bounds) -> NDArray[np.uint8]:
    """A picture's pixels, uint8[rows, columns, 3] RGB; of an animation the first frame.

    Raises:
        NotHashed: as `decode` does.
    """
    return decode(content, bounds).pixels


def decode(content: bytes, bounds: Bounds) -> DecodedPicture:
    """Decode what a browser would show: of an animation the first frame.

    A picture is decoded as it is, or else without all that does not show (see
    `hashserver.provider.hashing.mending`), or else as far as it goes. EXIF orientation is left
    alone, as the reference implementation leaves it: a rotated copy is what the eight variants of
    `hashcore.pictures.pdq.hash_variants` are for.

    Raises:
        NotHashed: it is not a picture, is damaged beyond that, or larger than the bounds allow.
    """
    _learn_heif()
    try:
        return DecodedPicture(_pixels(content, bounds))
    except NotHashed as reason:
        if reason.kind is not NotLookedAt.NOT_DECODABLE:
            raise
        refused = reason
    less = mended(content)
    if less is not None:
        content = less
        with suppress(NotHashed):
            return DecodedPicture(_pixels(content, bounds))
    if picture_kind(content) in _ROW_BY_ROW:
        with suppress(NotHashed):
            return DecodedPicture(_pixels(content, bounds, to_the_end=False), ends_early=True)
    raise refused


def _pixels(content: bytes, bounds: Bounds, *, to_the_end: bool = True) -> NDArray[np.uint8]:
    try:
        with _leniency(not to_the_end), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures: the bound below is ours
            with Image.open(io.BytesIO(content), formats=_formats()) as picture:
                width, height = picture.size
                if width * height > bounds.pixels:
                    raise _too_many_pixels(f"{width} x {height} is more", bounds)
                if bounds.fast:
                    picture.draft(None, (FAST_SIDE, FAST_SIDE))  # does nothing for other formats
                return np.asarray(_to_rgb(picture), np.uint8)
    except UnidentifiedImageError:
        raise _unidentified(content) from None
    except NotHashed:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels("more", bounds) from None
    except Exception as error:  # decoders raise whatever they like on damaged files
        said = f"the picture is damaged: {str(error)[:200] or type(error).__name__}"
        raise NotHashed(said, NotLookedAt.NOT_DECODABLE if picture_kind(content) else None) from None


def _too_many_pixels(what: str, bounds: Bounds) -> NotHashed:
    return NotHashed(f"{what} than {bounds.pixels:,} pixels", NotLookedAt.TOO_LARGE)


def _unidentified(content: bytes) -> NotHashed:
    kind = picture_kind(content)
    if kind is None:
        return NotHashed("not a picture that can be decoded")
    if kind == "HEIF" and find_spec("pillow_heif") is None:
        said = "HEIF is not read without pillow-heif: pip install 'hashserver[heif]'"
        return NotHashed(said, NotLookedAt.NO_PLUGIN)
    if kind == "JPEG XL" or (kind == "AVIF" and not features.check("avif")):
        return NotHashed(f"this version of Pillow does not read {kind}", NotLookedAt.NO_PLUGIN)
    return NotHashed(f"the picture is damaged: it begins as {kind}", NotLookedAt.NOT_DECODABLE)


@contextmanager
def _leniency(lenient: bool) -> Iterator[None]:
    """Let Pillow decode files that end early, or not; one picture at a time in a process."""
    with _SWITCHING:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _NOT_PICTURES]


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
