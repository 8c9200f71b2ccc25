"""An obvious model of near-duplicate search, and codes that a search might stumble over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashcore.arrays.columns import Column
from hashcore.near.hamming import hit_distances, hit_queries, hit_rows
from hashcore.near.multiindex import Geometry, build_chunk
from hashcore.near.nearest import PerceptualIndex

Codes = NDArray[np.uint8]

UNBOUNDED = 1 << 40
"""Candidates that no search of a test comes near."""


def in_pieces(array: NDArray[np.generic], shift: int) -> Column:
    """An array as a store holds it: in pieces, each of which begins 16 bytes into a line."""
    width = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
    pieces = []
    for start in range(0, len(array), 1 << shift):
        piece = np.ascontiguousarray(array[start : start + (1 << shift)]).view(np.uint8).reshape(-1)
        room = np.empty(len(piece) + 80, np.uint8)
        at = -room.ctypes.data % 64 + 16
        room[at : at + len(piece)] = piece
        pieces.append(room[at : at + len(piece)])
    bases = np.array([piece.ctypes.data for piece in pieces], np.uint64)
    return Column(bases, shift, len(array), width, pieces)


def flip_bits(codes: Codes, flips: int, random: np.random.Generator) -> Codes:
    """Change up to so many bits of every code."""
    changed = codes.copy()
    rows = np.arange(len(codes))
    for _ in range(flips):
        bits = random.integers(0, 8 * codes.shape[1], len(codes))
        changed[rows, bits // 8] ^= (1 << (bits % 8)).astype(np.uint8)
    return changed


def half_set(n: int, width: int, random: np.random.Generator) -> Codes:
    """Codes with exactly half of their bits set, as a PDQ has."""
    bits = np.tile(np.arange(8 * width) % 2, (n, 1)).astype(np.uint8)
    return np.packbits(random.permuted(bits, axis=1), axis=1)


def make_codes(kind: str, n: int, width: int, random: np.random.Generator) -> Codes:
    """Codes of a kind that a search might stumble over."""
    codes = random.integers(0, 256, (n, width), np.uint8)
    if kind == "clustered":
        centres = random.integers(0, 256, (3, width), np.uint8)
        codes = flip_bits(centres[random.integers(0, 3, n)], 20 if width == 32 else 6, random)
    elif kind == "correlated":
        codes[: n // 2, : width // 2] = np.arange(width // 2) * 91 % 256  # the same, and not blank
        codes[:, -1] = codes[:, 0]
    elif kind == "half set":
        codes = half_set(n, width, random)
    elif kind == "equal":
        codes[:] = 7
    elif kind == "duplicates":
        codes = codes[random.integers(0, max(1, n // 4), n)] if n else codes
    return codes


KINDS = ["random", "clustered", "correlated", "half set", "equal", "duplicates"]


def make_queries(codes: Codes, n: int, random: np.random.Generator) -> Codes:
    """Half of them near a code, half anywhere."""
    queries = random.integers(0, 256, (n, codes.shape[1]), np.uint8)
    if len(codes):
        near = codes[random.integers(0, len(codes), (n + 1) // 2)]
        queries[::2] = flip_bits(near, int(random.integers(0, 40)), random)
    return queries


def brute_force(codes: Codes, queries: Codes, radii: NDArray[np.uint32]) -> list[tuple[int, int, int]]:
    """The model: (query, distance, row) of all pairs within the radius, in this order."""
    found = []
    for number, query in enumerate(queries):
        distances = np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int64)
        rows = np.flatnonzero(distances <= radii[number])
        found += sorted((number, int(distances[row]), int(row)) for row in rows)
    return found


def unpack(hits: NDArray[np.uint64]) -> list[tuple[int, int, int]]:
    hits = np.sort(hits)
    return list(
        zip(hit_queries(hits).tolist(), hit_distances(hits).tolist(), hit_rows(hits).tolist(), strict=True)
    )


def build_index(codes: Column, geometry: Geometry, shift: int) -> PerceptualIndex:
    """Index all chunks of a column, in pieces."""
    built = [build_chunk(codes, geometry, chunk) for chunk in range(geometry.chunks)]
    return PerceptualIndex.of(
        geometry,
        [in_pieces(directory, shift) for directory, _ in built],
        [in_pieces(postings, shift) for _, postings in built],
    )
