"""Files of every kind: what is hashed, what is not, and that nothing breaks."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from hashcore.pictures.pdq import hash_picture
from hashserver.provider.hashing.digests import Content
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.hashing.pictures import (
    Bounds,
    NotHashed,
    decode,
    decode_picture,
    hash_content,
    hash_file,
)


def landscape(mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(4)
    coarse = Image.fromarray(random.integers(0, 256, (10, 15, 3), np.uint8))
    return coarse.resize((300, 200), Image.Resampling.BICUBIC).convert(mode)


def saved(picture: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def distance(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()


def test_one_reading_gives_all_hashes(tmp_path: Path) -> None:
    content = saved(landscape(), "PNG")
    path = tmp_path / "a picture.png"
    path.write_bytes(content)
    hashed = hash_file(path)
    assert hashed.md5 == hashlib.md5(content).digest()
    assert hashed.sha1 == hashlib.sha1(content).digest()
    assert hashed.sha256 == hashlib.sha256(content).digest()
    assert hashed.pdq == hash_picture(np.asarray(landscape())).digest
    assert hashed.size == len(content)
    assert hashed.note is None


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
     ("RGB", "WEBP"), ("RGB", "BMP"), ("1", "PNG"), ("YCbCr", "JPEG")],
)  # fmt: skip
def test_every_kind_of_picture_is_hashed_as_its_rgb(mode: str, kind: str) -> None:
    content = saved(landscape(mode), kind)
    with Image.open(io.BytesIO(content)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.array_equal(decode_picture(content, Bounds()), expected)


def _read_heif() -> bool:
    if find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()  # to write one, below
    return True


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")),
        pytest.param("HEIF", marks=pytest.mark.skipif(not _read_heif(), reason="no pillow-heif")),
    ],
)
def test_pictures_of_telephones_are_near_their_original(kind: str) -> None:
    content = saved(landscape(), kind, quality=90)
    found = hash_picture(decode_picture(content, Bounds())).digest.hex()
    assert distance(found, hash_picture(np.asarray(landscape())).digest.hex()) <= 31
    with pytest.raises(NotHashed, match="more than 1,000 pixels"):
        decode_picture(content, Bounds(pixels=1000))
    with pytest.raises(NotHashed, match=r"damaged|not a picture"):
        decode_picture(content[: len(content) // 2], Bounds())


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="no pillow-heif")
def test_heif_is_read_by_a_process_that_has_not_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(saved(landscape(), "HEIF", quality=90))
    path = str(tmp_path / "a.heic")
    program = f"from hashserver.provider.hashing.pictures import hash_file; print(hash_file({path!r}).pdq.hex())"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert distance(ran.stdout, hash_picture(np.asarray(landscape())).digest.hex()) <= 31


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    grey = np.asarray(landscape("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(decode_picture(saved(deep, "PNG"), Bounds())[..., 0], grey)


def test_transparent_palettes_and_animations_are_read() -> None:
    frames = [landscape(), Image.new("RGB", (300, 200))]
    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    palette = saved(landscape("P"), "PNG", transparency=bytes(range(256)))
    expected = hash_picture(np.asarray(landscape())).digest.hex()
    for content in (animated, palette):
        found = hash_picture(decode_picture(content, Bounds())).digest.hex()
        assert distance(found, expected) <= 31


def test_the_orientation_of_exif_is_left_alone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_picture(saved(landscape(), "JPEG", exif=exif), Bounds()).shape == (200, 300, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"plain text", "not a picture"),
        (saved(landscape(), "JPEG")[:200], "damaged"),
        (saved(landscape(), "PNG")[:20], "damaged"),
        (saved(Image.new("1", (30_000, 30_000)), "PNG"), "more than"),
    ],
)
def test_what_is_no_sound_picture_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(NotHashed, match=reason):
        decode_picture(content, Bounds(pixels=100_000_000))


def png_chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")


def jpeg_segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2 if length is None else length).to_bytes(2, "big") + data


def odd_pictures() -> dict[str, bytes]:
    """Files that all show `landscape()`, as browsers decode them."""
    png, jpeg = saved(landscape(), "PNG"), saved(landscape(), "JPEG", quality=92)
    after = 8 + 25  # the signature and the header
    comment = b"Comment\0\0" + zlib.compress(bytes(3 << 20))
    profile = b"p\0\0" + zlib.compress(bytes(3 << 20))
    place = png.index(b"IDAT") + 20
    return {
        "sound.png": png,
        "comment.png": png[:after] + png_chunk(b"zTXt", comment) + png[after:],
        "many-comments.png": png[:after] + png_chunk(b"zTXt", b"a\0\0" + comment[9:]) * 80 + png[after:],
        "profile.png": png[:after] + png_chunk(b"iCCP", profile) + png[after:],
        "profile-no-zlib.png": png[:after] + png_chunk(b"iCCP", b"p\0\0no zlib") + png[after:],
        "checksum.png": png[:after] + png_chunk(b"tEXt", b"a\0b", 1) + png[after:],
        "short-chunk.png": png[:after] + png_chunk(b"pHYs", b"1") + png_chunk(b"gAMA", b"") + png[after:],
        "no-end.png": png[:-12],
        "junk-behind.png": png + bytes(100_000),
        "idat-checksum.png": png[: place - 24]
        + png_chunk(b"tEXt", b"a\0b", 7)
        + png[place - 24 : -16]
        + b"1234"
        + png[-12:],
        "no-eoi.jpg": jpeg[:-2],
        "cut-short.jpg": jpeg[:-10],
        "short-app0.jpg": jpeg[:2] + jpeg_segment(0xE0, b"JF") + jpeg[2:],
        "app-of-length-0.jpg": jpeg[:2] + jpeg_segment(0xE1, b"", 0) + jpeg[2:],
        "short-app14.jpg": jpeg[:2] + jpeg_segment(0xEE, b"Adobe") + jpeg[2:],
        "exif-of-nothing.jpg": jpeg[:2] + jpeg_segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff") + jpeg[2:],
        "photoshop.jpg": jpeg[:2] + jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0") + jpeg[2:],
        "profile.jpg": jpeg[:2] + jpeg_segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)) * 40 + jpeg[2:],
        "mpf.jpg": jpeg[:2] + jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff") + jpeg[2:],
        "junk-between.jpg": jpeg[:2] + jpeg_segment(0xFE, b"a") + b"junk" + jpeg[2:],
        "fill-bytes.jpg": jpeg[:2] + b"\xff\xff\xff" + jpeg[2:],
    }


@pytest.mark.parametrize("name", odd_pictures())
def test_what_a_browser_would_show_is_hashed(name: str, tmp_path: Path) -> None:
    content = odd_pictures()[name]
    (tmp_path / name).write_bytes(content)
    hashed = hash_file(tmp_path / name)
    assert hashed.not_looked_at is None, hashed.note
    assert hashed.pdq is not None
    assert hashed.md5 == hashlib.md5(content).digest()
    assert distance(hashed.pdq.hex(), hash_picture(np.asarray(landscape())).digest.hex()) <= 6
    assert (hashed.note is not None) == (name in ("no-eoi.jpg", "cut-short.jpg")), hashed.note


def test_a_picture_that_ends_early_is_hashed_as_far_as_it_goes_and_says_so() -> None:
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        content = saved(landscape("P" if kind == "GIF" else "RGB"), kind)
        most = decode(content[: len(content) * 9 // 10], Bounds())
        assert most.ends_early
        rows = most.pixels.shape[0] // 2
        there = slice(rows, None) if kind == "BMP" else slice(rows)  # which begins at the bottom
        assert np.array_equal(most.pixels[there], decode_picture(content, Bounds())[there])
        hashed = hash_content(b"x", Content(1, {}, content[:1500], b""), Bounds(), ["pdq"])
        assert hashed.not_looked_at == NotLookedAt.NOT_DECODABLE, (kind, hashed.note)
        assert hashed.pdq is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", None),
        (b"text", None),
        (b"II*\0", NotLookedAt.NOT_DECODABLE),
        (b"GIF89a", NotLookedAt.NOT_DECODABLE),
        (b"RIFF\x20\0\0\0WEBPVP8 ", NotLookedAt.NOT_DECODABLE),
        (b"\xff\xd8\xff\xe0", NotLookedAt.NOT_DECODABLE),
        (b"\0\0\0\x0cJXL \r\n\x87\n", NotLookedAt.NO_PLUGIN),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", None),
        (b"%PDF-1.7\n", None),
        (b"BMP is a format of pictures\n" * 9, None),
        (saved(Image.new("1", (30_000, 30_000)), "PNG"), NotLookedAt.TOO_LARGE),
    ],
)
def test_what_is_a_picture_and_was_not_looked_at_is_told_from_other_files(
    content: bytes, kind: NotLookedAt | None
) -> None:
    with pytest.raises(NotHashed) as raised:
        decode(content, Bounds(pixels=100_000_000))
    assert raised.value.kind == kind


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heif_without_its_plugin_is_named(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100)
    monkeypatch.setattr("hashserver.provider.hashing.pictures.find_spec", lambda _: None)
    with pytest.raises(NotHashed, match=r"pip install 'hashserver\[heif\]'") as raised:
        decode(content, Bounds())
    assert raised.value.kind == NotLookedAt.NO_PLUGIN


@pytest.mark.parametrize("side", [8, 16])
def test_pictures_too_small_for_pdq_are_vague(side: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (side, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    hashed = hash_file(tmp_path / "a.png")
    assert hashed.vague
    assert hashed.not_looked_at is None
    assert f"a side of {side} pixels" in (hashed.note or "")


def test_a_file_too_large_to_look_into_still_has_its_digests(tmp_path: Path) -> None:
    content = saved(landscape(), "BMP")
    (tmp_path / "large.bmp").write_bytes(content)
    hashed = hash_file(tmp_path / "large.bmp", Bounds(picture_bytes=1000))
    assert hashed.md5 == hashlib.md5(content).digest()
    assert hashed.pdq is None
    assert hashed.note == "larger than 1,000 bytes"
    assert hashed.not_looked_at == NotLookedAt.TOO_LARGE
    (tmp_path / "large.iso").write_bytes(bytes(5000))
    assert hash_file(tmp_path / "large.iso", Bounds(picture_bytes=1000)).not_looked_at is None


def test_names_that_are_not_utf8_do_no_harm(tmp_path: Path) -> None:
    path = bytes(tmp_path) + b"/caf\xe9\n=cmd().jpg"
    with open(path, "wb") as file:
        file.write(saved(landscape(), "JPEG"))
    hashed = hash_file(path)
    assert hashed.path.endswith("caf\N{REPLACEMENT CHARACTER}\n=cmd().jpg")
    assert hashed.pdq is not None


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_pictures_never_break_anything(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    content = bytearray(saved(landscape("P" if kind == "GIF" else "RGB").resize((60, 40)), kind))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
        content[place] = value
    try:
        pixels = decode_picture(bytes(content), Bounds(pixels=1_000_000))
    except NotHashed:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
