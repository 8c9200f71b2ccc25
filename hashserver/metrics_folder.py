"""The folder in which the workers of a server count together. Imports nothing that reads its variable."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Of the environment; prometheus_client reads it when it is imported."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made with names of their own, mode 0700
_PREFIX = "hashserver-metrics-"
_NAME = re.compile(_PREFIX + r"(\d+)-")


def share_between_workers() -> None:
    """Make the folder in which the workers of this server count, and set the environment for them.

    It is in memory, where there is such a place: the files are mapped, and a map of a file on a full disk ends
    the process. A server has a folder of its own, named by its process, and clears those of servers that were
    killed.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for folder in place.glob(f"{_PREFIX}*"):
        found = _NAME.match(folder.name)
        if found is not None and folder.lstat().st_uid == os.getuid() and not _lives(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)
    mine = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place)
    atexit.register(shutil.rmtree, mine, ignore_errors=True)
    os.environ[VARIABLE] = mine


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
