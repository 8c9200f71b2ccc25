"""Deleting what killed changes leave behind: objects that no generation names, and spilled runs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hashcore.disk.layout import Manifest, delete_object, objects


def find_orphans(transaction: Any, kept: list[Manifest], current: Manifest) -> list[int]:
    """Numbers of the objects that no kept generation needs, ascending."""
    live = {number for manifest in kept for number in manifest.object_numbers()}
    # Filters of earlier generations are not worth their space: a rollback quickly rebuilds its own.
    live |= set(current.filters.values())
    return [number for number in objects(transaction) if number not in live]


def delete_objects(transaction: Any, numbers: list[int]) -> None:
    """Delete some objects, headers and pieces."""
    for number in numbers:
        delete_object(transaction, number)


class Scratch:
    """A temporary folder in the data folder, for runs that do not fit into memory.

    Entering it deletes what killed loads have left there; the caller must hold the writer lock.
    """

    def __init__(self, folder: Path) -> None:
        self._parent = folder / "scratch"

    def __enter__(self) -> Scratch:
        shutil.rmtree(self._parent, ignore_errors=True)
        self._parent.mkdir(mode=0o700)
        self.path = Path(tempfile.mkdtemp(dir=self._parent))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._parent, ignore_errors=True)
