"""The hash-matching service over `hashcore`: server, command line, readers and client."""

__version__ = "0.1.0"
