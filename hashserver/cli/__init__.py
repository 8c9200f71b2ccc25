"""The command `hashserver`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from hashserver.cli.main import run
    except ImportError as error:  # its exit code would be 1, which says that something matched
        print(f"hashserver: the installation is not complete: {error}; install it again", file=sys.stderr)
        sys.exit(3)
    sys.exit(run(sys.argv[1:]))
