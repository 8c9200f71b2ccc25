"""The hash-matching service: protocols, readers of set formats, client and command line over `hashcore`."""

__version__ = "0.1.0"
