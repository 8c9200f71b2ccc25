"""The error of the readers."""

from hashserver.errors import BadInput


class ReadError(BadInput):
    """A file that cannot be read; the message says which, where and what to do."""
