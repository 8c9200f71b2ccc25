"""Splitting text into lines, for the formats that have one item a line."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hashserver.readers.cells import Cells

_LF = 0x0A


@nb.njit(cache=True, nogil=True)
def split_lines(
    text: NDArray[np.uint8],
    final: bool,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    lines: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Find the lines that are not blank, without the white space around them.

    Args:
        text: uint8[size].
        final: whether the text ends here, so that a line without an end is whole.
        starts, lengths, lines: int64[room], receive each line's span and number, counted from 0.

    Returns:
        Lines found, bytes taken, lines taken, blank ones included. O(size).
    """
    size = text.shape[0]
    at, line, found = 0, 0, 0
    while at < size and found < starts.shape[0]:
        stop = at
        while stop < size and text[stop] != _LF:
            stop += 1
        if stop >= size and not final:
            break
        first, last = at, stop
        while first < last and (text[first] == 0x20 or text[first] == 0x09 or text[first] == 0x0D):
            first += 1
        while last > first and (text[last - 1] == 0x20 or text[last - 1] == 0x09 or text[last - 1] == 0x0D):
            last -= 1
        if last > first:
            starts[found], lengths[found], lines[found] = first, last - first, line
            found += 1
        at = min(stop + 1, size)
        line += 1
    return found, at, line


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block that are not blank.

    Args:
        cells: their spans.
        numbers: int64[n], their line numbers in the source, from 1.
    """

    cells: Cells
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def keep(self, mask: NDArray[np.bool_]) -> Lines:
        """Only some of the lines."""
        cells = Cells(self.cells.buffer, self.cells.starts[mask], self.cells.lengths[mask])
        return Lines(cells, self.numbers[mask])

    def without_comments(self) -> Lines:
        """Leave out lines that begin with #."""
        first = self.cells.buffer[self.cells.starts]
        return self.keep(first != ord("#")) if (first == ord("#")).any() else self


def lines_of(text: NDArray[np.uint8], first_line: int, final: bool) -> tuple[Lines, int, int]:
    """Split a block into lines; see `hashserver.readers.blocks.Parse`."""
    room = len(text) // 16 + 64
    starts, lengths, numbers = (np.empty(room, np.int64) for _ in range(3))
    found, taken, lines = split_lines(text, final, starts, lengths, numbers)
    return (
        Lines(Cells(text, starts[:found], lengths[:found]), numbers[:found] + first_line),
        int(taken),
        int(lines),
    )
