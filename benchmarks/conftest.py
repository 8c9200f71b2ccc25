"""Fixtures that the benchmarks share, and the summary that they print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.support import ENTRIES, RATIOS, Ratios, blocks_of, random_digests
from hashcore import Store
from hashserver.ledger.publications import add_ledger


@pytest.fixture(scope="session")
def ratios() -> Ratios:
    return RATIOS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if RATIOS.lines:
        terminalreporter.section("figures and ratios of this run")
        for line in RATIOS.lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def md5s() -> NDArray[np.uint8]:
    return random_digests(ENTRIES, 16, 1)


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory, md5s: NDArray[np.uint8]) -> Path:
    """A store of ENTRIES MD5s."""
    folder = tmp_path_factory.mktemp("bench") / "data"
    with Store(folder) as store:
        store.load("known", blocks_of(md5s, "md5"), now=0.0)
        add_ledger(store)
    return folder
