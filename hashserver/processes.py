"""Processes of our own, and temporary folders that are named by the process they belong to.

A process of our own runs a function of a module of ours and inherits nothing else from this
process. No kill leaves its folder for good: the next process clears it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

_PROGRAM = """
import importlib, json, sys
sys.path[:], module, arguments = json.loads(sys.argv[1])
importlib.import_module(module).main(*arguments)
"""


def command(module: str, *arguments: str | float | bool) -> list[str]:
    """The command line of a process that calls `main` of a module.

    Args:
        module: is imported from where this process would import it.
        arguments: of its `main`.
    """
    # -P: not from the folder that we are in, whose files may be anybody's.
    return [sys.executable, "-P", "-c", _PROGRAM.strip(), json.dumps([sys.path, module, arguments], default=str)]


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
