"""Processes of our own, which run a function of a module of ours and have nothing else from this process."""

from __future__ import annotations

import json
import sys

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
