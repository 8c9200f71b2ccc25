"""PDQ is bit for bit that of the reference, where a picture has the frequencies that it needs."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hashcore.pictures.pdq import hash_picture, hash_variants

# What pdqhash 0.2.8 says of the pictures that `picture` makes: rows, columns, kind, hash, quality.
EXPECTED = [
    (64, 64, "waves", "55f210076ffd88f9c183100665de7cbc6111da21714bce3fd9cb5336b564a35c", 100),
    (64, 64, "noise", "e5a00df8743c747e76afbad508770c056a4003705ffc0fff025fd55fec00f820", 100),
    (1, 1, "noise", "0000000000000000000000000000000000000000000000000000000000000000", 0),
    (3, 200, "blocks", "0000000000000000000000000000000000000000000000000000000000000000", 0),
    (63, 65, "blocks", "ad555aaab5555aab95754a6acc73318c295a4eab94b5ce63319c14ac295a6bca", 100),
    (128, 129, "waves", "174bf61310275d4fd95fc3772befeaaca80a06de1fd0fc30387e71e0c7809420", 100),
    (100, 160, "blocks", "907fb0e70710d4a9cc565c8ba31d29e7e02d0fa8aad61ecbe1991e62b7646dac", 100),
    (257, 131, "noise", "5f7f6924555559352aae9e5ba280ffff03ffe92ce882b65ba004badbe0016100", 100),
    (480, 640, "blocks", "f95dd6aa0aaa07eaaaaf47afc2fe46aeed00b955bd00a945ed45a910e834e816", 100),
    (481, 1003, "waves", "ffe2ff58efdabf48af5e02a1dea142a0dea1568056815e805e8076f0f680bac8", 100),
    (1030, 515, "blocks", "aa54cf110a40af01fa54bf11fa5daf021a50af51f254ff4e7a539f0cba42ff01", 100),
]


def picture(rows: int, columns: int, kind: str) -> NDArray[np.uint8]:
    """A picture that comes out the same everywhere: integers only."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.int64)
    if kind == "waves":
        planes = [(x * x // 7 + 3 * y) % 256, (x * y // 5 + y * y // 3) % 256, (5 * x + y * y // 11) % 256]
    elif kind == "blocks":
        planes = [
            (x // 13 * 37 + y // 9 * 91) % 256,
            (x // 5 * 11 + y // 31 * 67) % 256,
            (x // 29 * 53) % 256 + 0 * y,
        ]
    else:
        noise = (x * 2654435761 + y * 40503 + (x * y) * 97) >> 5
        planes = [noise % 256, (noise >> 8) % 256, (noise >> 16) % 256]
    return np.stack(planes, axis=2).astype(np.uint8)


def model(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
    """The reference's filter, one pixel after the other."""
    rows, columns = pixels.shape[:2]
    f = np.float32
    luminance = f(0.299) * pixels[..., 0].astype(f)
    luminance = luminance + f(0.587) * pixels[..., 1].astype(f)
    luminance = luminance + f(0.114) * pixels[..., 2].astype(f)
    if (rows, columns) != (64, 64):
        for _ in range(2):
            luminance = np.stack([box(line) for line in luminance])
            luminance = np.stack([box(line) for line in luminance.T]).T
        take_rows = [int((i + 0.5) * rows / 64) for i in range(64)]
        take_columns = [int((i + 0.5) * columns / 64) for i in range(64)]
        luminance = luminance[take_rows][:, take_columns]
    down = (luminance[:-1] - luminance[1:]) * f(100) / f(255)
    across = (luminance[:, :-1] - luminance[:, 1:]) * f(100) / f(255)
    total = int(np.abs(np.trunc(down)).sum() + np.abs(np.trunc(across)).sum())
    return luminance, min(100, total // 90)


def box(line: NDArray[np.float32]) -> NDArray[np.float32]:
    n = len(line)
    full = (n + 127) // 128
    half = (full + 2) // 2
    out, total, count = np.empty(n, np.float32), np.float32(0), 0
    written = 0
    for step in range(n + half - 1):
        if step < n:
            total, count = np.float32(total + line[step]), count + 1
        if step >= full:
            total, count = np.float32(total - line[step - full]), count - 1
        if step >= half - 1:
            out[written] = np.float32(total / np.float32(count))
            written += 1
    return out


@pytest.mark.parametrize(("rows", "columns", "kind", "expected", "quality"), EXPECTED)
def test_the_hash_is_that_of_the_reference(
    rows: int, columns: int, kind: str, expected: str, quality: int
) -> None:
    hashed = hash_picture(picture(rows, columns, kind))
    assert hashed.digest.hex() == expected
    assert hashed.quality == quality


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 300), st.integers(5, 300), st.sampled_from(["waves", "blocks", "noise"]))
def test_the_filter_and_the_quality_are_those_of_a_plain_model(rows: int, columns: int, kind: str) -> None:
    from hashcore.pictures.pdq import _decimate

    pixels = picture(rows, columns, kind)
    small, quality = model(pixels)
    lines = np.ascontiguousarray(pixels.reshape(rows, -1))
    assert np.array_equal(_decimate(lines, 3), small)
    assert hash_picture(pixels).quality == quality


def test_the_reference_binding_says_the_same() -> None:
    pdqhash = pytest.importorskip("pdqhash", reason="has to be compiled; pip install pdqhash")
    random = np.random.default_rng(1)
    for _ in range(60):
        rows, columns = random.integers(17, 700, 2).tolist()
        coarse = Image.fromarray(random.integers(0, 256, (9, 14, 3), np.uint8))
        pixels = np.asarray(coarse.resize((columns, rows), Image.Resampling.BICUBIC))
        bits, quality = pdqhash.compute(pixels)
        hashed = hash_picture(pixels)
        assert hashed.digest == np.packbits(bits).tobytes()
        assert hashed.quality == quality


@pytest.mark.parametrize("side", [*range(5, 20), 24, 31, 32, 33, 48, 63, 64, 128])
def test_noise_of_any_side_but_8_and_16_is_hashed_as_the_reference_does(side: int) -> None:
    pdqhash = pytest.importorskip("pdqhash", reason="has to be compiled; pip install pdqhash")
    random = np.random.default_rng(side)
    for _ in range(10):
        pixels = random.integers(0, 256, (side, side, 3), np.uint8)
        bits, quality = pdqhash.compute(pixels)
        hashed = hash_picture(pixels)
        assert hashed.quality == quality
        differing = np.bitwise_count(np.frombuffer(hashed.digest, np.uint8) ^ np.packbits(bits)).sum()
        chance = {8: 60, 16: 31}.get(side, 2)  # frequencies that are exactly zero
        assert differing <= chance
        assert (hashed.vague is None) == (side >= 17), hashed.vague


def coarse(seed: int) -> NDArray[np.uint8]:
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 14, 3), np.uint8))
    return np.asarray(noise.resize((400, 300), Image.Resampling.BICUBIC))


def test_pictures_without_most_frequencies_are_vague_whatever_their_quality() -> None:
    columns = np.arange(400)
    stripes = np.broadcast_to(((columns * 7) % 256).astype(np.uint8), (300, 400))
    mirrored = np.concatenate([coarse(1), coarse(1)[:, ::-1]], 1)
    four_times = np.concatenate([mirrored, mirrored[::-1]], 0)
    for pixels, vague in ((coarse(1), False), (mirrored, False), (four_times, True), (stripes, True)):
        hashed = hash_picture(np.ascontiguousarray(pixels))
        assert hashed.quality == 100
        assert (hashed.vague is not None) == vague
    assert "192 of 256 frequencies" in (hash_picture(four_times).vague or "")
    assert "side of 16 pixels" in (hash_picture(np.ascontiguousarray(four_times[:16])).vague or "")


def test_the_reference_pictures() -> None:
    folder = os.environ.get("PDQ_REFERENCE")
    if not folder:
        pytest.skip("PDQ_REFERENCE names no folder of pictures with an expected.csv")
    with (Path(folder) / "expected.csv").open() as file:
        for row in csv.DictReader(file):
            with Image.open(Path(folder) / row["file"]) as opened:
                hashed = hash_picture(np.asarray(opened.convert("RGB")))
            assert (hashed.digest.hex(), hashed.quality) == (row["pdq"], int(row["quality"]))


def test_variants_are_close_to_the_hashes_of_turned_pictures() -> None:
    pixels = np.asarray(Image.fromarray(picture(40, 60, "blocks")).resize((600, 400), Image.Resampling.BICUBIC))
    turned = [
        pixels,
        np.rot90(pixels, -1),
        np.rot90(pixels, 2),
        np.rot90(pixels, 1),
        pixels[::-1],
        pixels[:, ::-1],
        pixels.transpose(1, 0, 2),
        np.rot90(pixels, 2).transpose(1, 0, 2),
    ]
    variants, packed = hash_variants(pixels)
    assert variants[0] == hash_picture(pixels)
    for variant, row, rotated in zip(variants, packed, turned, strict=True):
        direct = np.frombuffer(hash_picture(np.ascontiguousarray(rotated)).digest, np.uint8)
        assert variant.digest == row.tobytes()
        assert np.bitwise_count(row ^ direct).sum() <= 16


def test_a_blank_picture_has_no_quality() -> None:
    hashed = hash_picture(np.full((300, 200, 3), 128, np.uint8))
    assert (hashed.quality, hashed.vague) == (0, "quality 0 is below 50")


def test_what_is_no_picture_is_refused() -> None:
    for shape in ((0, 5, 3), (5, 5, 4), (5,)):
        with pytest.raises(ValueError, match="picture"):
            hash_picture(np.zeros(shape, np.uint8))
