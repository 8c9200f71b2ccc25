"""Decoding JPEGs to less than their size: close enough for most pictures, so off by default."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hashserver.provider.hashing.digests import Bounds
from hashserver.provider.hashing.pictures import decode_picture, hash_file

FAST = Bounds(fast=True)
SIZE = (2800, 2100)
LEAST_QUALITY = 80  # where the bound is asked for


def clouds(random: np.random.Generator) -> Image.Image:
    """Smooth noise at a coarse and a fine scale, as photographs have it."""
    coarse, fine = (
        np.asarray(
            Image.fromarray(random.integers(0, 256, (side * 3 // 4, side, 3), np.uint8)).resize(SIZE, 3),
            np.float64,
        )
        for side in (16, 200)
    )
    return Image.fromarray((0.8 * coarse + 0.2 * fine).astype(np.uint8))


def waves(random: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    long, wide, phase = random.uniform(30, 200, 3), random.uniform(30, 200, 3), random.uniform(0, 6, 3)
    channels = [127 + 127 * np.sin(x / long[i] + y / wide[i] + phase[i]) for i in range(3)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def shapes(random: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", SIZE, tuple(map(int, random.integers(0, 256, 3))))
    draw = ImageDraw.Draw(picture)
    for _ in range(40):
        x, y, width, height = (int(number) for number in random.integers(10, 900, 4))
        draw.ellipse(
            [2 * x, 2 * y, 2 * x + width, 2 * y + height], fill=tuple(map(int, random.integers(0, 256, 3)))
        )
    return picture


def text(random: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(40)
    for line in range(38):
        letters = "".join(chr(97 + letter) for letter in random.integers(0, 26, 80))
        draw.text((60, 50 + 52 * line), letters, fill="black", font=font)
    return picture


def saved(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def distance(path: Path) -> int:
    whole, fast = hash_file(path, types=["pdq"]), hash_file(path, FAST, types=["pdq"])
    assert whole.pdq is not None
    assert fast.pdq is not None
    assert whole.pdq_quality is not None
    assert whole.pdq_quality >= LEAST_QUALITY
    return (int.from_bytes(whole.pdq) ^ int.from_bytes(fast.pdq)).bit_count()


@pytest.mark.parametrize("draw", [clouds, waves, shapes, text])
@pytest.mark.parametrize("quality", [60, 90])
def test_most_pictures_stay_within_10(
    tmp_path: Path, draw: Callable[[np.random.Generator], Image.Image], quality: int
) -> None:
    for seed in range(2):
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(saved(draw(np.random.default_rng(seed)), quality))
        assert distance(path) <= 10


def test_blocks_of_noise_do_not_which_is_why_it_is_off(tmp_path: Path) -> None:
    cells = np.random.default_rng(6).integers(0, 256, (4, 6, 3), np.uint8)
    path = tmp_path / "blocks.jpg"
    path.write_bytes(saved(Image.fromarray(cells).resize((3600, 2400), Image.Resampling.NEAREST)))
    assert distance(path) > 31
    assert hash_file(path) == hash_file(path, Bounds(fast=False))


@pytest.mark.parametrize(
    ("size", "decoded"), [((4096, 3072), (2048, 1536)), ((8200, 8200), (1025, 1025)), ((2047, 5000), (2047, 5000))]
)
def test_both_sides_keep_1024_pixels(size: tuple[int, int], decoded: tuple[int, int]) -> None:
    content = saved(Image.new("RGB", size, "red"))
    assert decode_picture(content, FAST).shape[:2] == decoded[::-1]
    assert decode_picture(content, Bounds()).shape[:2] == size[::-1]


def test_other_formats_and_grey_and_cmyk_jpegs_are_what_they_were() -> None:
    for mode, kind in (("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG")):
        buffer = io.BytesIO()
        clouds(np.random.default_rng(1)).convert(mode).save(buffer, kind)
        whole, fast = decode_picture(buffer.getvalue(), Bounds()), decode_picture(buffer.getvalue(), FAST)
        if kind == "PNG":
            assert np.array_equal(whole, fast)
        else:
            assert fast.shape == (SIZE[1] // 2, SIZE[0] // 2, 3)
            assert abs(whole.mean(axis=(0, 1)) - fast.mean(axis=(0, 1))).max() < 1
