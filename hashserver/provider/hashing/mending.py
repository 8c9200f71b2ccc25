"""Files as browsers read them: only what decides the pixels of a PNG or JPEG, put down soundly.

Browsers do not look at a comment, a profile or a checksum of either, so a file in which one of them
is broken, or larger than a decoder likes, shows its picture all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT"))
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_START = b"\xff\xd8"
_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE
_SCAN, _END = 0xDA, 0xD9
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_ADOBE_BYTES = 12


def mended(content: bytes) -> bytes | None:
    """The same picture without what does not show, or None where the format is another one.

    Of a PNG the critical chunks and the transparency are kept, each with the checksum that it ought
    to have; of a JPEG all but comments and application segments, that of Adobe apart, which tells
    how colours are coded. A JPEG that ends early still does.
    """
    if content.startswith(_PNG_START):
        return _PNG_START + b"".join(_png_chunks(memoryview(content))) + _PNG_END
    if content.startswith(_JPEG_START):
        return _JPEG_START + b"".join(_jpeg_segments(content))
    return None


def _png_chunks(content: memoryview) -> Iterator[bytes]:
    """Source: PNG specification, third edition, section 5."""
    place = len(_PNG_START)
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), bytes(content[place + 4 : place + 8])
        if kind == b"IEND":
            return
        if kind in _PNG_PIXELS:
            data = content[place + 8 : place + 8 + length]
            checksum = zlib.crc32(data, zlib.crc32(kind))
            yield len(data).to_bytes(4, "big") + kind
            yield bytes(data)
            yield checksum.to_bytes(4, "big")
        place += 12 + length


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    """Source: ITU-T T.81, annex B; what stands between segments is skipped, as libjpeg skips it."""
    place = len(_JPEG_START)
    while (place := content.find(b"\xff", place)) >= 0 and place + 1 < len(content):
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker == 0 or marker in _ALONE:
            place += 2
        elif marker == _END:
            return
        elif marker == _SCAN:
            yield content[place:]  # the rest is coded data, and what belongs to it
            return
        else:
            length = max(2, int.from_bytes(content[place + 2 : place + 4], "big"))
            if _shows(marker, content[place + 4 : place + 2 + length]):
                yield content[place : place + 2 + length]
            place += 2 + length


def _shows(marker: int, data: bytes) -> bool:
    if marker == _APP14:
        return len(data) >= _ADOBE_BYTES and data.startswith(b"Adobe")
    return not _APP0 <= marker <= _APP15 and marker != _COMMENT
