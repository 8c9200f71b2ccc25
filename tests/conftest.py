"""What holds for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Kernels compile at their first call, and machines are shared: how long an example takes says nothing.
settings.register_profile("hashserver", deadline=None)
settings.load_profile("hashserver")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop that lasts for a test."""
    with asyncio.Runner() as made:
        yield made
