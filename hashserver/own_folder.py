"""Temporary folders that no kill leaves for good: named by their process, and cleared by the next one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path


def make_own_folder(prefix: str, place: Path | None = None) -> Path:
    """Make a folder, mode 0700, for whoever calls to remove at its end.

    Folders of the same prefix whose processes were killed are removed first.

    Args:
        prefix: of its name.
        place: where to make it; the temporary folder when None.
    """
    place = place or Path(tempfile.gettempdir())
    pattern = re.compile(re.escape(prefix) + r"(\d+)-")
    for folder in place.glob(f"{prefix}*"):
        found = pattern.match(folder.name)
        if found is not None and not _lives(int(found[1])) and folder.lstat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
