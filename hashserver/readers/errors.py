"""The error of the readers."""


class ReadError(Exception):
    """A file that cannot be read; the message says which, where and what to do."""
