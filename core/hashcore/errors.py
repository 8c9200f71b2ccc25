"""The errors of the engine, one type per kind of trouble.

Every message is a sentence for the person who reads it: what happened, where, and what to do.
"""


class HashcoreError(Exception):
    """Base of every error that the engine raises on purpose."""


class Refused(HashcoreError):
    """What was asked for does not exist or cannot be done; the message says why."""


class UnknownHashType(Refused, ValueError):
    """No hash type has that name."""


class BadDistance(Refused, ValueError):
    """The hash type does not allow that distance."""


class StoreError(HashcoreError):
    """The store cannot do what was asked; nothing was changed."""


class StoreBusy(StoreError):
    """Another process is changing the store; wait for it or try again later."""


class StoreFull(StoreError):
    """The disk is full; the last published generation is untouched."""


class StoreCorrupt(StoreError):
    """The data on disk is damaged: it is not what was written."""


class StoreMissing(Refused, StoreError):
    """The folder holds no store; the message names it."""


class FormatMismatch(Refused, StoreError):
    """The store was written in another version of the on-disk format."""


class UnknownRole(Refused, StoreError, ValueError):
    """No such role: a set either reports matches or vouches for what is harmless."""


class OtherRole(Refused, StoreError):
    """The set has another role than a load would give it."""


class UnknownSet(Refused, StoreError, KeyError):
    """The current generation has no hash set of that name."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownEntry(Refused, StoreError, KeyError):
    """The set has no entry with any of the given ids."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownGeneration(Refused, StoreError, KeyError):
    """The generation never existed, or has been pruned."""

    def __str__(self) -> str:
        return str(self.args[0])
