"""What holds for all tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Kernels compile at their first call, and machines are shared: the time of an example says nothing.
settings.register_profile("hashserver", deadline=None)
# Whether .ci/run passes depends on the change alone, so it tries the same examples each time;
# make test tries new ones.
settings.register_profile("same-examples", settings.get_profile("hashserver"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "hashserver"))

# numba's cache must not be written by two processes at once: each worker of pytest-xdist, with all
# the processes that it starts, has a cache of its own.
_CACHES = Path(__file__).parents[1] / ".pytest_cache" / "kernels"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(_CACHES / os.environ["PYTEST_XDIST_WORKER"])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels before workers start: once, and copied for the others."""
    workers = len(session.config.getoption("tx", None) or ())
    if not workers or "PYTEST_XDIST_WORKER" in os.environ:
        return
    first, *others = [_CACHES / f"gw{number}" for number in range(workers)]
    _warm(first)
    for cache in others:
        if not cache.exists():
            shutil.copytree(first, cache)
        _warm(cache)  # it may be of an earlier day


def _warm(cache: Path) -> None:
    support = Path(__file__).with_name("support")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(support)}
    subprocess.run([sys.executable, str(support / "warm_kernels.py")], env=environment, check=True)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop that lasts for a test."""
    with asyncio.Runner() as made:
        yield made
