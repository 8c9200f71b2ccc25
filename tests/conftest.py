"""What holds for all tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Kernels compile at their first call, and machines are shared: how long an example takes says
# nothing.
settings.register_profile("hashserver", deadline=None)
# Whether .ci/run passes depends on the change alone: it tries the same examples each time, make
# test new ones.
settings.register_profile("same-examples", settings.get_profile("hashserver"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "hashserver"))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop that lasts for a test."""
    with asyncio.Runner() as made:
        yield made
