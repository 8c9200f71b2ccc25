"""The folder in which the workers of a server count together.

Nothing that is imported here reads its variable.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hashserver.processes import make_own_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus_client reads when it is imported."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made with names of their own, mode 0700
_PREFIX = "hashserver-metrics-"


def share_between_workers() -> None:
    """Make the folder in which the workers of this server count, and set the environment for them.

    It is in memory where possible: the files are mapped, and writing to a map on a full disk kills
    the process. Each server has its own folder, named after its process, and removes those of
    servers that were killed.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    mine = make_own_folder(_PREFIX, place)
    atexit.register(shutil.rmtree, mine, ignore_errors=True)
    os.environ[VARIABLE] = str(mine)
