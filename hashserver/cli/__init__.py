"""The command `hashserver`."""

from __future__ import annotations

import sys

from hashserver.cli.main import run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))
