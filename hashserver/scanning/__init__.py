"""Scanning a storage: walk it, hash what is new, ask the server, and remember, so that the next scan is short."""

from hashserver.scanning.objects import StorageError
from hashserver.scanning.scan import ScanOptions, ScanResult, scan
from hashserver.scanning.state import Hit, State
from hashserver.scanning.walk import FoundFile, WalkOptions, walk

__all__ = ["FoundFile", "Hit", "ScanOptions", "ScanResult", "State", "StorageError", "WalkOptions", "scan", "walk"]
