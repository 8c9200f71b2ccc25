"""Walking folders: regular files in, whatever their names are."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple


class FoundFile(NamedTuple):
    """A regular file, as it was when the walk came by. The path is bytes, as the system has it."""

    path: bytes
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What a walk looks at.

    Args:
        include: globs; a file is taken when its name or path matches one, or there are none.
        exclude: globs; files, and folders with all in them, that are left out.
        newer_than: Unix seconds; files that have not been changed since are left out.
        follow_links: into symbolic links; a folder is entered once only, however many lead there.
        one_file_system: do not enter folders on other file systems.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    newer_than: float | None = None
    follow_links: bool = False
    one_file_system: bool = False


def walk(
    roots: Sequence[bytes], options: WalkOptions, on_trouble: Callable[[bytes, str], None]
) -> Iterator[FoundFile]:
    """Find the files under some folders, or the files themselves.

    Args:
        roots: paths.
        options: what to look at.
        on_trouble: told of each path that cannot be looked at, and why.
    """
    entered: set[tuple[int, int]] = set()
    for root in roots:
        try:
            status = os.stat(root)
        except OSError as error:
            on_trouble(root, error.strerror or str(error))
            continue
        if not stat.S_ISDIR(status.st_mode):
            if stat.S_ISREG(status.st_mode) and _wanted(root, status, options):
                yield _found(root, status)
            continue
        yield from _walk_folder(root, status, options, entered, on_trouble)


def _walk_folder(
    root: bytes,
    root_status: os.stat_result,
    options: WalkOptions,
    entered: set[tuple[int, int]],
    on_trouble: Callable[[bytes, str], None],
) -> Iterator[FoundFile]:
    waiting = [(root, root_status)]
    while waiting:
        folder, status = waiting.pop()
        identity = (status.st_dev, status.st_ino)
        if identity in entered:
            continue
        entered.add(identity)
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except OSError as error:
            on_trouble(folder, error.strerror or str(error))
            continue
        for entry in entries:
            try:
                if entry.is_symlink() and not options.follow_links:
                    continue
                if matches(entry.path, options.exclude):
                    continue
                inside = entry.stat(follow_symlinks=options.follow_links)
            except OSError as error:
                on_trouble(entry.path, error.strerror or str(error))
                continue
            if stat.S_ISDIR(inside.st_mode):
                if not options.one_file_system or inside.st_dev == root_status.st_dev:
                    waiting.append((entry.path, inside))
            elif stat.S_ISREG(inside.st_mode) and _wanted(entry.path, inside, options):
                yield _found(entry.path, inside)


def _found(path: bytes, status: os.stat_result) -> FoundFile:
    return FoundFile(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _wanted(path: bytes, status: os.stat_result, options: WalkOptions) -> bool:
    if options.newer_than is not None and status.st_mtime < options.newer_than:
        return False
    return not options.include or matches(path, options.include)


def matches(path: bytes, globs: Sequence[str]) -> bool:
    """Whether a path, or the name at its end, matches one of some globs."""
    if not globs:
        return False
    whole = os.fsdecode(path)
    name = whole.rpartition("/")[2]
    return any(fnmatchcase(name, glob) or fnmatchcase(whole, glob) for glob in globs)
