"""Going through stored columns without keeping them."""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashcore.arrays.columns import Column
from hashcore.arrays.gather import read_range
from hashcore.arrays.memory import as_writable
from hashcore.arrays.residency import let_go, let_go_of_map, passing

MEBIBYTE = 1 << 20


def resident(path: Path) -> int:
    """Bytes of a mapped file that count as this process's memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            ours = line.endswith(str(path))
        elif ours and words[0] == "Rss:":
            total += int(words[1]) << 10
    return total


@given(st.integers(0, 300), st.integers(0, 5), st.integers(1, 20), st.integers(1, 2000), st.integers(0, 2**32 - 1))
def test_the_parts_are_the_column(items: int, shift: int, width: int, most: int, seed: int) -> None:
    content = np.random.default_rng(seed).integers(0, 256, (items, width), np.uint8)
    pieces = [np.ascontiguousarray(content[start : start + (1 << shift)]) for start in range(0, items, 1 << shift)]
    bases = np.array([piece.ctypes.data for piece in pieces], np.uint64)
    parts = list(passing(Column(bases, shift, items, width, pieces), most))
    assert [start for start, _ in parts] == np.cumsum([0, *(len(part) for _, part in parts)])[:-1].tolist()
    joined = [read_range(part, 0, len(part)) for _, part in parts]
    assert np.array_equal(np.concatenate([np.empty((0, width), np.uint8), *joined]), content)


def test_pages_of_a_stored_column_are_given_back_and_come_again(tmp_path: Path) -> None:
    content = np.random.default_rng(1).integers(0, 256, (4, 4 * MEBIBYTE), np.uint8)
    with lmdb.open(str(tmp_path), map_size=64 * MEBIBYTE) as environment:
        with environment.begin(write=True) as writing:
            for number, piece in enumerate(content):
                writing.put(bytes([number]), piece.tobytes())
        with environment.begin(buffers=True) as transaction:
            stored = [np.frombuffer(transaction.get(bytes([number])), np.uint8) for number in range(4)]
            bases = np.array([piece.ctypes.data for piece in stored], np.uint64)
            column = Column(bases, 18, 1 << 20, 16, transaction)
            seen = []
            for start, part in passing(column, 4 * MEBIBYTE):
                assert np.array_equal(read_range(part, 0, len(part)).ravel(), content[start >> 18])
                seen.append(resident(tmp_path / "data.mdb"))
            assert len(seen) == 4
            # How much a fault maps is the kernel's choice, up to 2 MiB.
            assert max(seen) < 10 * MEBIBYTE
            assert resident(tmp_path / "data.mdb") < MEBIBYTE
            assert np.array_equal(read_range(column, 0, len(column)).ravel(), content.ravel())
            assert resident(tmp_path / "data.mdb") > 12 * MEBIBYTE


def test_memory_that_is_no_files_keeps_its_content() -> None:
    array = np.full((MEBIBYTE, 16), 7, np.uint8)
    let_go(Column.of(array))
    let_go_of_map(array)
    for _ in passing(Column.of(array)):
        pass
    assert (array == 7).all()


@pytest.mark.parametrize("view", [lambda array: array, as_writable])
def test_a_mapped_array_is_given_back_and_comes_again(tmp_path: Path, view: object) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(b"\x07" * (8 * MEBIBYTE))
    array = np.memmap(path, np.uint8, "r")
    assert callable(view)
    seen = view(array)
    assert (seen == 7).all()
    assert resident(path) > 7 * MEBIBYTE
    let_go_of_map(array)
    assert resident(path) < MEBIBYTE
    assert (seen == 7).all()
