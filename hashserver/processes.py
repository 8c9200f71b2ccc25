"""Child processes that run a module's `main`, and temporary folders named after their process.

A child process inherits nothing else from this one. A folder that a killed process leaves behind is
removed by the next process that makes one.
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
        module: name of the module, which is imported from where this process would import it.
        arguments: for its `main`.
    """
    # -P: never import from the working folder, where anybody may have put files.
    return [sys.executable, "-P", "-c", _PROGRAM.strip(), json.dumps([sys.path, module, arguments], default=str)]


def make_own_folder(prefix: str, place: Path | None = None) -> Path:
    """Create a folder, mode 0700, that the caller removes when it is done.

    Folders with the same prefix whose processes no longer run are removed first.

    Args:
        prefix: of the folder's name.
        place: where to create it; the system's temporary folder if None.
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
