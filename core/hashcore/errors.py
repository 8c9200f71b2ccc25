"""The errors of the engine, one type per kind of trouble.

Every message is a sentence for the person who reads it: what happened, where, and what to do.
"""


class HashcoreError(Exception):
    """Base of everything the engine raises on purpose."""


class Refused(HashcoreError):
    """What was asked for does not exist, or cannot be done; the message says why."""


class UnknownHashType(Refused, ValueError):
    """A hash type that the registry does not hold."""


class BadDistance(Refused, ValueError):
    """A distance that a hash type does not have."""


class StoreError(HashcoreError):
    """The store cannot do what was asked; nothing was changed."""


class StoreBusy(StoreError):
    """Another process is publishing; wait for it or try again later."""


class StoreFull(StoreError):
    """The disk is full; the last published generation is untouched."""


class StoreCorrupt(StoreError):
    """The data on disk is not what was written."""


class FormatMismatch(Refused, StoreError):
    """The store was written by another version of the on-disk format."""


class UnknownRole(Refused, StoreError, ValueError):
    """A set's role is to report matches or to vouch for what is harmless; there is no other."""


class UnknownSet(Refused, StoreError, KeyError):
    """No hash set of that name in the current generation."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownEntry(Refused, StoreError, KeyError):
    """None of the external ids asked for is in the set."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownGeneration(Refused, StoreError, KeyError):
    """No such generation, or it has been pruned."""

    def __str__(self) -> str:
        return str(self.args[0])
