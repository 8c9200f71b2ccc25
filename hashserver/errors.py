"""The two kinds of error that end a command, and the exit code of each."""

from __future__ import annotations


class BadInput(Exception):
    """What was asked for, or given, cannot be used; the message says what and where, and what to do."""

    exit_code = 2


class Trouble(Exception):
    """The network, a disk, the server or the store failed; the message says which, and what to do."""

    exit_code = 3
