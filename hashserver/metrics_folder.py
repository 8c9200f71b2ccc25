"""The folder in which the workers of a server count together. Imports nothing that reads its variable."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Of the environment; prometheus_client reads it when it is imported."""


def share_between_workers(data_dir: Path) -> None:
    """Make the folder in which the workers of this server count, and set the environment for them.

    A server has a folder of its own, named by its process, so that two on one data folder do not mix; those of
    servers that have ended are cleared.
    """
    parent = data_dir / "metrics"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in parent.iterdir():
        if folder.name.isdigit() and (int(folder.name) == os.getpid() or not _lives(int(folder.name))):
            shutil.rmtree(folder, ignore_errors=True)
    mine = parent / str(os.getpid())
    mine.mkdir(mode=0o700, exist_ok=True)
    os.environ[VARIABLE] = str(mine.resolve())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
