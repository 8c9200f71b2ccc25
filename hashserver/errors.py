"""The two kinds of errors that end a command, and their exit codes."""

from __future__ import annotations


class BadInput(Exception):
    """Wrong usage or bad input; the message says what is wrong and where, and what to do."""

    exit_code = 2


class Trouble(Exception):
    """The network, a disk, the server or the store failed; the message says what to do."""

    exit_code = 3
