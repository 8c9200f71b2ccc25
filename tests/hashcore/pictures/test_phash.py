"""pHash is that of the imagehash package."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hashcore.pictures.phash import hash_grey


def picture(kind: int) -> NDArray[np.uint8]:
    """A picture of 32 x 32 that comes out the same everywhere: integers only."""
    y, x = np.mgrid[0:32, 0:32].astype(np.int64)
    planes = [
        x * x * 3 + y * 7,
        (x * y * 5 + y * y * 11) // 3,
        ((x * 2654435761 + y * 40503 + x * y * 97) >> 5),
        x // 5 * 40,
    ]
    return (planes[kind] % 256).astype(np.uint8)


# What imagehash 4.3.2 says of them.
EXPECTED = ["920017b96dafccd6", "aa152917342a7f7a", "9f01f83e08c67733", "aa00000000000000"]


@pytest.mark.parametrize(("kind", "expected"), list(enumerate(EXPECTED)))
def test_the_hash_is_that_of_imagehash(kind: int, expected: str) -> None:
    assert hash_grey(picture(kind)).hex() == expected


def test_imagehash_says_the_same_of_pictures_of_any_size() -> None:
    imagehash = pytest.importorskip("imagehash", reason="compared with where it is installed")
    from PIL import Image

    from hashserver.provider.hashing.pictures import hash_small

    random = np.random.default_rng(2)
    for _ in range(60):
        rows, columns = random.integers(8, 500, 2).tolist()
        coarse = Image.fromarray(random.integers(0, 256, (9, 14, 3), np.uint8))
        image = coarse.resize((columns, rows), Image.Resampling.BICUBIC)
        assert hash_small(np.asarray(image)).hex() == str(imagehash.phash(image))


@pytest.mark.parametrize("shape", [(31, 32), (32, 32, 3), (0, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8\[32, 32\]"):
        hash_grey(np.zeros(shape, np.uint8))
