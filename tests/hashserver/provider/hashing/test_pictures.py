"""Files of every kind: what is hashed, what is not, and that nothing breaks."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from hashcore.pictures.pdq import hash_picture
from hashserver.provider.hashing.pictures import Bounds, NotHashed, decode_picture, hash_file


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
        (saved(landscape(), "JPEG")[:2000], "damaged"),
        (saved(landscape(), "PNG")[:5000], "damaged"),
        (saved(Image.new("1", (30_000, 30_000)), "PNG"), "more than"),
    ],
)
def test_what_is_no_sound_picture_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(NotHashed, match=reason):
        decode_picture(content, Bounds(pixels=100_000_000))


def test_a_file_too_large_to_look_into_still_has_its_digests(tmp_path: Path) -> None:
    content = saved(landscape(), "BMP")
    (tmp_path / "large.bmp").write_bytes(content)
    hashed = hash_file(tmp_path / "large.bmp", Bounds(picture_bytes=1000))
    assert hashed.md5 == hashlib.md5(content).digest()
    assert hashed.pdq is None
    assert hashed.note == "larger than 1,000 bytes"


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
