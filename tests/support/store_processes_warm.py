"""Imported once by the process that others are forked from; see `store_processes`."""

from store_processes import warm

warm()
