"""The folder in which the workers of a server count together. Imports nothing that reads its variable."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hashserver.processes import make_own_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Of the environment; prometheus_client reads it when it is imported."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made with names of their own, mode 0700
_PREFIX = "hashserver-metrics-"


def share_between_workers() -> None:
    """Make the folder in which the workers of this server count, and set the environment for them.

    It is in memory, where there is such a place: the files are mapped, and a map of a file on a
    full disk ends the process. A server has a folder of its own, named by its process, and clears
    those of servers that were killed.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    mine = make_own_folder(_PREFIX, place)
    atexit.register(shutil.rmtree, mine, ignore_errors=True)
    os.environ[VARIABLE] = str(mine)
