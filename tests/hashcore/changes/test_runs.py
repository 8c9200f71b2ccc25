"""Rows that no set may match are rejected, each by name; all others are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from store_model import blocks_of, row

from hashcore import HashColumn, Reject, Rows, Store
from hashcore import hash_type as look_up


def test_a_reject_names_its_line_and_type(tmp_path: Path) -> None:
    rejects: list[Reject] = []
    empty = next(iter(look_up("sha1").benign))
    given = [row(1), row(2, sha1=empty), row(3)]
    with Store(tmp_path) as store:
        outcome = store.load("police", blocks_of(given, 2), now=1.0, on_reject=rejects.append)
    assert outcome.tally.rejected == 1
    assert [(reject.line, reject.text) for reject in rejects] == [(2, empty.hex().encode())]
    assert "sha1" in rejects[0].reason
    assert "empty file" in rejects[0].reason


def test_a_row_without_a_picture_hash_is_not_taken_for_a_blank_picture(tmp_path: Path) -> None:
    digests = np.frombuffer(bytes(91 * place % 256 for place in range(32)) + bytes(32), np.uint8).reshape(2, 32)
    md5s = np.frombuffer(b"m" * 32, np.uint8).reshape(2, 16)
    pdq = HashColumn(digests, np.array([True, False]))
    with Store(tmp_path) as store:
        outcome = store.load("police", [Rows(np.arange(2), {"pdq": pdq, "md5": HashColumn(md5s)})], now=1.0)
    assert outcome.tally.rejected == 0
