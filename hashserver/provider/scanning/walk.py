"""Walking folders: regular files in, whatever their names are."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from hashserver.provider.hashing.looked_at import NotLookedAt


class FoundFile(NamedTuple):
    """A regular file, as it was when the walk came by. The path is bytes, as the system has it.

    `ctime_ns` is when anything about the file was changed last, which nobody can put back.
    """

    path: bytes
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0


class Unseen(NamedTuple):
    """What could not be looked at, and why.

    Args:
        path: of a file, a folder or a root.
        kind: for counting.
        why: the sentence.
        is_folder: what is below it was not seen either.
    """

    path: bytes
    kind: NotLookedAt
    why: str
    is_folder: bool = False


def unseen_because(path: bytes, error: OSError, *, is_folder: bool) -> Unseen:
    """What an error of the system means for a path."""
    gone = isinstance(error, FileNotFoundError | NotADirectoryError)
    kind = NotLookedAt.VANISHED if gone else NotLookedAt.UNREADABLE
    return Unseen(path, kind, error.strerror or str(error), is_folder)


class Mounts:
    """Folders on which file systems are mounted: those of the last scan, and those that are found.

    Args:
        known: paths of the last scan.
    """

    def __init__(self, known: Collection[bytes] = ()) -> None:
        self._known = frozenset(known)
        self.found: set[bytes] = set()
        self.missing: set[bytes] = set()

    def note(self, path: bytes, device: int, above: int) -> bool:
        """Note a folder, by its device and the one above it; False where a mount is missing."""
        if device != above:
            self.found.add(path)
        elif path in self._known:
            self.missing.add(path)
            return False
        return True


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
    roots: Sequence[bytes],
    options: WalkOptions,
    on_unseen: Callable[[Unseen], None],
    mounts: Mounts | None = None,
    seen: Counter[bytes] | None = None,
) -> Iterator[FoundFile]:
    """Find the files under some folders, or the files themselves.

    Args:
        roots: paths.
        options: what to look at.
        on_unseen: told of each path that cannot be looked at.
        mounts: takes the mounts.
        seen: takes the number of files under each root, wanted or not.
    """
    entered: set[tuple[int, int]] = set()
    mounts, seen = mounts or Mounts(), Counter() if seen is None else seen
    for root in roots:
        try:
            status = os.stat(root)
        except OSError as error:
            found = unseen_because(root, error, is_folder=True)
            missing = found.kind is NotLookedAt.VANISHED
            on_unseen(found._replace(kind=NotLookedAt.MISSING) if missing else found)
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _Folders(root, status, options, entered, on_unseen, mounts, seen).walk()
        elif stat.S_ISREG(status.st_mode):
            seen[root] += 1
            if _wanted(root, status, options):
                yield _found(root, status)
        else:
            on_unseen(Unseen(root, NotLookedAt.UNREADABLE, "neither a folder nor a regular file"))


@dataclass(slots=True)
class _Folders:
    """The walk under one root."""

    root: bytes
    root_status: os.stat_result
    options: WalkOptions
    entered: set[tuple[int, int]]
    on_unseen: Callable[[Unseen], None]
    mounts: Mounts
    seen: Counter[bytes]

    def walk(self) -> Iterator[FoundFile]:
        waiting = [(self.root, self.root_status, _device_above(self.root, self.root_status))]
        while waiting:
            folder, status, above = waiting.pop()
            identity = (status.st_dev, status.st_ino)
            if identity in self.entered:
                continue
            self.entered.add(identity)
            if not self.mounts.note(folder, status.st_dev, above):
                why = "a file system was mounted here at the last scan, and is not now"
                self.on_unseen(Unseen(folder, NotLookedAt.MISSING, why, is_folder=True))
            try:
                with os.scandir(folder) as listed:
                    entries = list(listed)
            except OSError as error:
                self.on_unseen(unseen_because(folder, error, is_folder=True))
                continue
            for entry in entries:
                inside = self._status_of(entry)
                if inside is None:
                    continue
                if stat.S_ISDIR(inside.st_mode):
                    if not self.options.one_file_system or inside.st_dev == self.root_status.st_dev:
                        waiting.append((entry.path, inside, status.st_dev))
                elif stat.S_ISREG(inside.st_mode):
                    self.seen[self.root] += 1
                    if _wanted(entry.path, inside, self.options):
                        yield _found(entry.path, inside)

    def _status_of(self, entry: os.DirEntry[bytes]) -> os.stat_result | None:
        """The status of what stands in a folder, or None where it is not to be looked at."""
        follow = self.options.follow_links
        try:
            if entry.is_symlink() and not follow:
                return None
            if matches(entry.path, self.options.exclude):
                return None
            return entry.stat(follow_symlinks=follow)
        except OSError as error:
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
                leads_nowhere = entry.is_symlink() and isinstance(error, FileNotFoundError)
            except OSError:
                is_folder = leads_nowhere = False
            if not leads_nowhere:  # a link to nothing is nothing
                self.on_unseen(unseen_because(entry.path, error, is_folder=is_folder))
            return None


def _device_above(root: bytes, status: os.stat_result) -> int:
    with suppress(OSError):
        return os.stat(os.path.join(root, b"..")).st_dev
    return status.st_dev


def _found(path: bytes, status: os.stat_result) -> FoundFile:
    return FoundFile(path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


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
