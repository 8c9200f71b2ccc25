"""Why a change of a set, or feedback on an entry, cannot be accepted."""

from __future__ import annotations

from hashserver.errors import BadInput


class NotJson(BadInput):
    """What was sent is not JSON."""


class BadMember(BadInput):
    """What was sent is JSON, but a member of it cannot be used.

    Args:
        message: which one, and what it should be.
        pointer: to the member (RFC 6901); None where the trouble is in no member.
    """

    def __init__(self, message: str, pointer: str | None = None) -> None:
        super().__init__(message)
        self.pointer = pointer


class TooManyEntries(BadInput):
    """A request holds more entries than one may.

    Args:
        message: how many, and what to do.
        limit: entries that a request may hold.
    """

    def __init__(self, message: str, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class NotInStore(BadInput):
    """The set or the entry that was named does not exist."""
