"""What holds for the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashcore import Limits, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store whose columns are cut into many small pieces."""
    with Store(tmp_path, limits=Limits(piece_bytes=64)) as opened:
        yield opened
