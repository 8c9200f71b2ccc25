"""PDQ: the 256-bit perceptual hash of a picture, as the reference implementation has it.

Its steps are luminance, a two-pass tent filter (a box twice along rows and columns), decimation to
64 x 64, and the lowest 16 x 16 frequencies of a DCT without the constant one; each of them gives
one bit, which is whether it is above the median.

Source: Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019, and
its reference implementation. Sums are in single precision and in the order of the reference,
because a bit whose frequency is close to the median depends on the last digit. What the decimation
drops is not computed.

The hash is bit for bit that of the reference, with one exception: frequencies that a picture cannot
have. With a side of 8 pixels these are every eighth one in that direction, with a side of 16 the
sixteenth; in a picture that is its own mirror image, every odd one; in stripes, all of the other
direction. They are exactly zero, but sums in single precision leave a hundred-thousandth of a grey
level, and its sign, which is what makes the bit, depends on the order in which a compiler has put
the additions: the reference disagrees with itself from one build to the next. Such bits are chance,
here as there. `PictureHash.vague` says when too many of them are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashcore.rows import Digests

BITS = 256
_SIDE, _FREQUENCIES = 64, 16
_LEAST_SIDE = 5  # for a smaller picture the reference returns a hash of zeros
_LANES = 8  # rows summed side by side: one sum is a chain of additions, eight keep the unit busy
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
LEAST_QUALITY = 50
"""Below this quality, hashes match unrelated pictures; the reference says to discard them."""
LEAST_SIDE = _FREQUENCIES + 1
"""A side of fewer pixels does not have the 16 frequencies that a hash is made of."""
_LEAST_PRESENT = BITS // 2
_ROUNDING = 2e-3  # grey levels; what is below is what single precision has left of zero

Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PictureHash:
    """The hash of a picture.

    Args:
        digest: 32 bytes, in the order of its hexadecimal form.
        quality: from 0 (nothing to see, such as a blank page) to 100.
        vague: why the hash says too little to be matched; None where it says enough.
    """

    digest: bytes
    quality: int
    vague: str | None = None


@lru_cache(maxsize=1)
def _dct_matrix() -> _Floats:
    frequencies = np.arange(1, _FREQUENCIES + 1)[:, None]
    places = 2 * np.arange(_SIDE) + 1
    matrix: NDArray[np.float64] = np.sqrt(2 / _SIDE) * np.cos(np.pi / 2 / _SIDE * frequencies * places)
    return matrix.astype(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _luminance(pixels: NDArray[np.uint8], channels: int, out: NDArray[np.float32]) -> None:
    """Luminance of a line, uint8[columns * channels]; with a constant stride, loads vectorise."""
    if channels == 1:
        for column in range(np.uint64(out.shape[0])):
            out[column] = np.float32(pixels[column])
        return
    for column in range(np.uint64(out.shape[0])):
        at = np.uint64(3) * column
        red = np.float32(pixels[at]) * _RED
        green = np.float32(pixels[at + np.uint64(1)]) * _GREEN
        blue = np.float32(pixels[at + np.uint64(2)]) * _BLUE
        out[column] = np.float32(np.float32(red + green) + blue)


@nb.njit(cache=True, nogil=True, inline="always")
def _window(length: int) -> int:
    """The width of the box for a side of `length` pixels."""
    return (length + 2 * _SIDE - 1) // (2 * _SIDE)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _divisors(length: int) -> NDArray[np.float32]:
    """How many pixels the box around each place covers, float32[length]; fewer at the edges."""
    full = _window(length)
    ahead = (full + 2) // 2
    out = np.empty(length, np.float32)
    for place in range(length):
        last = min(place + ahead, length)
        first = max(0, place + ahead - full)
        out[place] = np.float32(last - first)
    return out


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sum_rows(values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Sums of the box along eight rows, float32[8, columns]; `out` must not be `values`."""
    columns = np.uint64(values.shape[1])
    full = np.uint64(_window(values.shape[1]))
    ahead = np.uint64((full + np.uint64(2)) >> np.uint64(1))
    v0, v1, v2, v3 = values[0], values[1], values[2], values[3]
    v4, v5, v6, v7 = values[4], values[5], values[6], values[7]
    o0, o1, o2, o3, o4, o5, o6, o7 = out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7]
    zero = np.float32(0)
    s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
    reach = ahead - np.uint64(1)
    for step in range(min(reach, columns)):
        s0, s1, s2, s3 = s0 + v0[step], s1 + v1[step], s2 + v2[step], s3 + v3[step]
        s4, s5, s6, s7 = s4 + v4[step], s5 + v5[step], s6 + v6[step], s7 + v7[step]
    for step in range(reach, full):
        at = step - reach
        s0, s1, s2, s3 = s0 + v0[step], s1 + v1[step], s2 + v2[step], s3 + v3[step]
        s4, s5, s6, s7 = s4 + v4[step], s5 + v5[step], s6 + v6[step], s7 + v7[step]
        o0[at], o1[at], o2[at], o3[at] = s0, s1, s2, s3
        o4[at], o5[at], o6[at], o7[at] = s4, s5, s6, s7
    for step in range(full, columns):
        left, at = step - full, step - reach
        s0, s1, s2, s3 = s0 + v0[step], s1 + v1[step], s2 + v2[step], s3 + v3[step]
        s4, s5, s6, s7 = s4 + v4[step], s5 + v5[step], s6 + v6[step], s7 + v7[step]
        s0, s1, s2, s3 = s0 - v0[left], s1 - v1[left], s2 - v2[left], s3 - v3[left]
        s4, s5, s6, s7 = s4 - v4[left], s5 - v5[left], s6 - v6[left], s7 - v7[left]
        o0[at], o1[at], o2[at], o3[at] = s0, s1, s2, s3
        o4[at], o5[at], o6[at], o7[at] = s4, s5, s6, s7
    for step in range(columns, columns + reach):
        left, at = step - full, step - reach
        s0, s1, s2, s3 = s0 - v0[left], s1 - v1[left], s2 - v2[left], s3 - v3[left]
        s4, s5, s6, s7 = s4 - v4[left], s5 - v5[left], s6 - v6[left], s7 - v7[left]
        o0[at], o1[at], o2[at], o3[at] = s0, s1, s2, s3
        o4[at], o5[at], o6[at], o7[at] = s4, s5, s6, s7


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _add(sums: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    for column in range(np.uint64(sums.shape[0])):
        sums[column] += line[column]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _subtract(sums: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    for column in range(np.uint64(sums.shape[0])):
        sums[column] -= line[column]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _divide(line: NDArray[np.float32], divisors: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for column in range(np.uint64(line.shape[0])):
        out[column] = line[column] / divisors[column]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _divide_by(line: NDArray[np.float32], divisor: np.float32, out: NDArray[np.float32]) -> None:
    for column in range(np.uint64(line.shape[0])):
        out[column] = line[column] / divisor


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _sampled(place: int, length: int) -> int:
    return int((place + 0.5) * length / _SIDE)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _filter_twice(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """Box along rows, columns, and rows again, at the 64 columns that are kept: float32[rows, 64].

    Only a few lines are held at a time, so that they stay in the second-level cache.
    """
    rows, columns = pixels.shape[0], pixels.shape[1] // channels
    full = _window(rows)
    ahead = (full + 2) // 2
    across, down = _divisors(columns), _divisors(rows)
    narrow = np.empty((rows, _SIDE), np.float32)
    kept = (full // _LANES + 2) * _LANES
    lines = np.zeros((_LANES, columns), np.float32)
    summed = np.zeros((_LANES, columns), np.float32)
    ring = np.zeros((kept, columns), np.float32)
    ready = np.zeros((_LANES, columns), np.float32)
    sums = np.zeros(columns, np.float32)
    for step in range(rows + ahead - 1):
        if step < rows and step % _LANES == 0:
            for lane in range(min(_LANES, rows - step)):
                _luminance(pixels[step + lane], channels, lines[lane])
            _sum_rows(lines, summed)
            for lane in range(min(_LANES, rows - step)):
                _divide(summed[lane], across, ring[(step + lane) % kept])
        if step < rows:
            _add(sums, ring[step % kept])
        if step >= full:
            _subtract(sums, ring[(step - full) % kept])
        at = step + 1 - ahead
        if at < 0:
            continue
        _divide_by(sums, down[at], ready[at % _LANES])
        if at % _LANES == _LANES - 1 or at == rows - 1:
            _sum_rows(ready, summed)
            for line in range(at - at % _LANES, at + 1):
                for place in range(_SIDE):
                    column = _sampled(place, columns)
                    narrow[line, place] = summed[line % _LANES, column] / across[column]
    return narrow


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _decimate(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """The filtered picture at 64 x 64 places, float32[64, 64]."""
    rows, columns = pixels.shape[0], pixels.shape[1] // channels
    small = np.empty((_SIDE, _SIDE), np.float32)
    if rows == _SIDE and columns == _SIDE:
        for row in range(_SIDE):
            _luminance(pixels[row], channels, small[row])
        return small
    narrow = _filter_twice(pixels, channels)
    full = _window(rows)
    ahead = (full + 2) // 2
    divisors = _divisors(rows)
    sums = np.zeros(_SIDE, np.float32)
    place = 0
    for step in range(rows + ahead - 1):
        if step < rows:
            _add(sums, narrow[step])
        if step >= full:
            _subtract(sums, narrow[step - full])
        at = step + 1 - ahead
        while place < _SIDE and _sampled(place, rows) == at:
            _divide_by(sums, divisors[at], small[place])
            place += 1
    return small


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _quality(small: NDArray[np.float32]) -> int:
    """How much there is to see: the sum of gradients, in the units of the reference."""
    total = 0
    hundred, white = np.float32(100), np.float32(255)
    for i in range(_SIDE):
        for j in range(_SIDE):
            if i + 1 < _SIDE:
                total += abs(int(np.float32(np.float32(small[i, j] - small[i + 1, j]) * hundred) / white))
            if j + 1 < _SIDE:
                total += abs(int(np.float32(np.float32(small[i, j] - small[i, j + 1]) * hundred) / white))
    return min(100, total // 90)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _transform(small: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    half = np.zeros((_FREQUENCIES, _SIDE), np.float32)
    for i in range(_FREQUENCIES):
        for k in range(_SIDE):
            for j in range(_SIDE):
                half[i, j] += matrix[i, k] * small[k, j]
    out = np.zeros((_FREQUENCIES, _FREQUENCIES), np.float32)
    for i in range(_FREQUENCIES):
        for j in range(_FREQUENCIES):
            total = np.float32(0)
            for k in range(_SIDE):
                total += half[i, k] * matrix[j, k]
            out[i, j] = total
    return out


def _bits(frequencies: _Floats) -> bytes:
    """One bit per frequency, the last one first: whether it is above the lower median."""
    flat = frequencies.reshape(-1)
    median = np.sort(flat)[(BITS - 1) // 2]
    return np.packbits((flat > median)[::-1]).tobytes()


def _why_vague(pixels: Pixels, frequencies: _Floats, quality: int) -> str | None:
    if quality < LEAST_QUALITY:
        return f"quality {quality} is below {LEAST_QUALITY}"
    side = min(pixels.shape[:2])
    if side < LEAST_SIDE:
        return f"a side of {side} pixels has fewer frequencies than PDQ looks at"
    missing = int(np.count_nonzero(np.abs(frequencies) < _ROUNDING))
    if BITS - missing < _LEAST_PRESENT:
        return f"{missing} of {BITS} frequencies are missing, as in stripes, and their bits are chance"
    return None


def _frequencies(pixels: Pixels) -> tuple[_Floats, int]:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"a picture must be uint8[rows, columns, 3] or uint8[rows, columns], not {pixels.shape}")
    rows, columns = pixels.shape[:2]
    if not rows or not columns:
        raise ValueError("the picture has no pixels")
    if min(rows, columns) < _LEAST_SIDE:
        return np.zeros((_FREQUENCIES, _FREQUENCIES), np.float32), 0
    channels = 3 if pixels.ndim == 3 else 1
    lines = np.require(pixels, requirements=["C", "W"]).reshape(rows, columns * channels)
    small = _decimate(lines, channels)
    return _transform(small, _dct_matrix()), int(_quality(small))


def hash_picture(pixels: Pixels) -> PictureHash:
    """The PDQ hash of a decoded picture.

    Args:
        pixels: uint8[rows, columns, 3] RGB, or uint8[rows, columns] luminance.

    Raises:
        ValueError: the array has another shape or type, or no pixels.
    """
    frequencies, quality = _frequencies(pixels)
    return PictureHash(_bits(frequencies), quality, _why_vague(pixels, frequencies, quality))


def hash_variants(pixels: Pixels) -> tuple[list[PictureHash], Digests]:
    """The hashes of a picture and of its seven rotations and reflections, from one transform.

    Args:
        pixels: as for `hash_picture`.

    Returns:
        Eight hashes: original, rotated clockwise by 90, 180 and 270 degrees, flipped top to bottom,
        flipped left to right, flipped along the main diagonal, and along the other one; and their
        digests as uint8[8, 32].

    Raises:
        ValueError: as for `hash_picture`.
    """
    b, quality = _frequencies(pixels)
    odd = np.where(np.arange(_FREQUENCIES) % 2 == 0, -1, 1).astype(np.float32)  # frequency i + 1 is odd
    rows, columns = odd[:, None], odd[None, :]
    variants = [b, b.T * columns, b * rows * columns, b.T * rows, b * rows, b * columns, b.T, b.T * rows * columns]
    digests = [_bits(np.ascontiguousarray(variant)) for variant in variants]
    packed = np.frombuffer(b"".join(digests), np.uint8).reshape(8, BITS // 8)
    vague = _why_vague(pixels, b, quality)
    return [PictureHash(digest, quality, vague) for digest in digests], packed
