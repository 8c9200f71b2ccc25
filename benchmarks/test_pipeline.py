"""Pictures from file to hashes (read, decode, digests, PDQ), and where the time goes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.support import Ratios
from hashcore.pictures.pdq import hash_picture
from hashserver.provider.hashing.digests import DIGESTS, Bounds
from hashserver.provider.hashing.pictures import decode_picture, hash_file
from hashserver.provider.scanning.pool import Hashers
from hashserver.provider.scanning.walk import FoundFile

TYPES = frozenset({*DIGESTS, "pdq"})
TURNS = 7
PROCESSES = 2

KINDS = [
    ("640 x 427, JPEG", (640, 427), "jpg", False),
    ("1920 x 1280, JPEG", (1920, 1280), "jpg", False),
    ("4032 x 3024, JPEG", (4032, 3024), "jpg", False),
    ("4032 x 3024, JPEG, --fast-decode", (4032, 3024), "jpg", True),
    ("1920 x 1280, PNG", (1920, 1280), "png", False),
    ("1920 x 1280, WebP", (1920, 1280), "webp", False),
]


def photograph(size: tuple[int, int]) -> Image.Image:
    """Smooth noise with a little grain, which compresses about as photographs do."""
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (40, 60, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = random.normal(0, 4, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))


def seconds_of(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(TURNS):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


@pytest.mark.parametrize(("name", "size", "suffix", "fast"), KINDS, ids=[kind[0] for kind in KINDS])
def test_where_the_time_goes(
    name: str, size: tuple[int, int], suffix: str, fast: bool, tmp_path: Path, ratios: Ratios
) -> None:
    path = tmp_path / f"picture.{suffix}"
    photograph(size).save(path, quality=90)
    bounds = Bounds(fast=fast)
    content = path.read_bytes()
    pixels = decode_picture(content, bounds)
    hash_picture(pixels)
    parts = {
        "reading": seconds_of(path.read_bytes),
        **{kind: seconds_of(lambda kind=kind: hashlib.new(kind, content)) for kind in DIGESTS},
        "decoding": seconds_of(lambda: decode_picture(content, bounds)),
        "PDQ": seconds_of(lambda: hash_picture(pixels)),
    }
    whole = seconds_of(lambda: hash_file(path, bounds, TYPES))
    ratios.figure(f"{name}, {len(content) / 1e6:.2f} MB, one core", 1 / whole, "pictures/s")
    ratios.figure(f"  {PROCESSES} processes of a scan", rate_of_processes(path, fast), "pictures/s")
    for part, seconds in parts.items():
        ratios.figure(f"  {part}", 1e3 * seconds, "ms")
    ratios.compare("  the sum of its parts beside the whole", sum(parts.values()), whole, floor=0.7)


def rate_of_processes(path: Path, fast: bool) -> float:
    """Pictures a second, by the processes that a scan starts, when they have begun."""
    chunk = [FoundFile(os.fsencode(path), 0, 0, 0)] * 10
    with Hashers(TYPES, processes=PROCESSES, nice=0, seconds=60, fast=fast, anonymous=False) as hashers:
        for _ in range(PROCESSES):
            hashers.submit(chunk[:1])
        while hashers.is_busy:
            hashers.next_done()
        began = time.perf_counter()
        for _ in range(2 * PROCESSES):
            hashers.submit(chunk)
        hashed = 0
        while hashers.is_busy:
            hashed += len(hashers.next_done())
        return hashed / (time.perf_counter() - began)
