"""PDQ of a decoded picture beside the reference binding, one core."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from benchmarks.support import Ratios
from hashcore.pictures.pdq import hash_picture


def landscape() -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8))
    return coarse.resize((1920, 1280), Image.Resampling.BICUBIC)


def test_pdq_of_1920_by_1280(benchmark, ratios: Ratios) -> None:
    pixels = np.asarray(landscape())
    hash_picture(pixels)
    benchmark.pedantic(hash_picture, (pixels,), rounds=30, warmup_rounds=3)
    ours = benchmark.stats.stats.min
    ratios.figure("PDQ of 1920 x 1280 pixels", 1e3 * ours, "ms")
    pdqhash = pytest.importorskip("pdqhash", reason="has to be compiled; make bench installs it")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        bits, _ = pdqhash.compute(pixels)
        times.append(time.perf_counter() - began)
    assert np.packbits(bits).tobytes() == hash_picture(pixels).digest
    ratios.figure("  pdqhash", 1e3 * min(times), "ms")
    ratios.compare("  beside pdqhash", min(times), ours, floor=5)
