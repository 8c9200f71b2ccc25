"""pHash: 64 bits of the lowest frequencies of a picture, as the imagehash package computes them.

Source: Buchner, `imagehash.phash`. It takes the unnormalised DCT-II of a grey picture of 32 x 32;
each of the lowest 8 x 8 frequencies gives one bit, which is whether it is above the median.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32
_FREQUENCIES = 8


@lru_cache(maxsize=1)
def _dct_matrix() -> NDArray[np.float64]:
    frequencies = np.arange(_FREQUENCIES)[:, None]
    matrix: NDArray[np.float64] = 2 * np.cos(np.pi * frequencies * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
    return matrix


def hash_grey(pixels: NDArray[np.uint8]) -> bytes:
    """The pHash of a picture, 8 bytes.

    Args:
        pixels: uint8[32, 32], grey; the caller has shrunk the picture to that size, by Lanczos.

    Raises:
        ValueError: the array has another shape or type.
    """
    if pixels.shape != (SIDE, SIDE) or pixels.dtype != np.uint8:
        raise ValueError(f"a pHash is computed from uint8[{SIDE}, {SIDE}], not {pixels.dtype}{list(pixels.shape)}")
    matrix = _dct_matrix()
    # Frequencies that the picture does not have must be zero, not rounding errors.
    low = np.round(matrix @ pixels.astype(np.float64) @ matrix.T, 6)
    return np.packbits(low > np.median(low)).tobytes()
