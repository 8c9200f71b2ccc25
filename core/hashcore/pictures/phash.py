"""pHash: 64 bits of the lowest frequencies of a picture, as the imagehash package computes them.

Source: Buchner, `imagehash.phash`: a grey picture of 32 x 32, its unnormalised DCT-II, of which the
lowest 8 x 8 frequencies are above the median or not.
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
        pixels: uint8[32, 32], grey; shrinking to that size, by Lanczos, is the caller's.

    Raises:
        ValueError: they are not of that kind.
    """
    if pixels.shape != (SIDE, SIDE) or pixels.dtype != np.uint8:
        raise ValueError(f"a pHash is made of uint8[{SIDE}, {SIDE}], not {pixels.dtype}{list(pixels.shape)}")
    matrix = _dct_matrix()
    # Frequencies that are not there are zero, and not what rounding errors make of it.
    low = np.round(matrix @ pixels.astype(np.float64) @ matrix.T, 6)
    return np.packbits(low > np.median(low)).tobytes()
