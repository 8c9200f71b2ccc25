"""The kinds of what a scan could not look at, and telling pictures from other files."""

from __future__ import annotations

from enum import StrEnum


class NotLookedAt(StrEnum):
    """Why a file, or the picture in it, could not be looked at."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    NOT_DECODABLE = "not-decodable"
    NO_PLUGIN = "no-plugin"


IN_WORDS = {
    NotLookedAt.MISSING: "missing or not mounted",
    NotLookedAt.UNREADABLE: "unreadable",
    NotLookedAt.VANISHED: "vanished meanwhile",
    NotLookedAt.TOO_LARGE: "too large",
    NotLookedAt.TOO_SLOW: "too slow",
    NotLookedAt.NOT_DECODABLE: "not decodable",
    NotLookedAt.NO_PLUGIN: "without the plugin for it",
}

HEAD_BYTES = 64
"""What `picture_kind` looks at."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
)
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_BMP_HEADERS = frozenset((12, 40, 52, 56, 64, 108, 124))  # sizes


def picture_kind(head: bytes) -> str | None:
    """The format of a picture that browsers or phones know, by its first bytes; None for the rest.

    Source: WHATWG, "MIME Sniffing", section 6.1, with the brands of ISO/IEC 23008-12 and AV1.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:14] == b"WEBPVP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[:4] == b"\0\0\1\0" and 0 < int.from_bytes(head[4:6], "little") < 256 and head[9:10] == b"\0":
        return "ICO"
    if head[4:8] == b"ftyp":
        end = min(len(head), max(16, int.from_bytes(head[:4], "big")))
        brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None
