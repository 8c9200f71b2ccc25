"""Standard input, output and error, in whatever state the caller has left them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from hashserver.errors import Trouble

# Reading what was closed has to fail, and writing as well: nothing is an empty listing, and output
# that nobody gets is not output. Only messages may get lost.
_CLOSED = ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


def open_streams() -> None:
    """Fill the places of closed streams, and let no text be one that cannot be printed.

    The next file to be opened would take the place of a closed stream: messages would be written
    into the store.
    """
    for number, flags in _CLOSED:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process runs
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _accept_all(stream)


def _accept_all(stream: Any) -> None:
    """File names that are not text go out as the bytes that they are, where the encoding allows."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        unicode = stream.encoding.lower().replace("-", "") == "utf8"
        stream.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")


def flush_output() -> None:
    """Write the buffered output.

    Raises:
        BrokenPipeError: its reader has gone.
        Trouble: it cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Trouble(f"standard output cannot be written: {error.strerror}; not all of it is there") from error


def close_streams() -> None:
    """Write what is buffered; what cannot be written is dropped, so that Python does not try again.

    It would end with an exit code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def say(sentence: str) -> None:
    """Print a message for the person at the terminal, if it can be printed."""
    with suppress(OSError, ValueError):
        print(f"hashserver: {sentence}", file=sys.stderr)
