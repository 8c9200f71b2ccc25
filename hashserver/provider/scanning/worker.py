"""A hashing process: files and objects in, hashes or errors out, each within its time limit.

It is started by `hashserver.provider.scanning.pool`, and imports what decodes pictures only when it
is asked for their hashes.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import threading
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NamedTuple

from hashserver.provider.hashing.digests import DIGESTS, TYPES, Bounds, Content, read_content, read_pieces
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.objects import ObjectGone, StorageError, is_object, read_object
from hashserver.provider.scanning.walk import unseen_because

_COUNT = struct.Struct("@Q")

Task = tuple[list[bytes], frozenset[str]]
"""Paths, and the hashes to compute."""


class FileOutcome(NamedTuple):
    """The result of hashing one file; sent between processes as a plain tuple.

    Args:
        size: bytes that were read.
        digests: in the order of `TYPES`, with None for those that are missing; None where the file
            could not be read.
        trouble: why the file, or the picture in it, was not looked at; None where it was.
        kind: of what was not looked at.
        note: what else there is to say of the picture's hashes.
        quality: of the picture's PDQ.
        vague: the picture's hashes say too little to be asked about.
    """

    size: int
    digests: tuple[bytes | None, ...] | None
    trouble: str | None = None
    kind: NotLookedAt | None = None
    note: str | None = None
    quality: int | None = None
    vague: bool = False

    @property
    def to_ask(self) -> tuple[bytes | None, ...]:
        """The digests to ask about, in the order of `TYPES`."""
        digests = self.digests or (None,) * len(TYPES)
        if not self.vague:
            return digests
        return tuple(digest if name in DIGESTS else None for name, digest in zip(TYPES, digests, strict=True))


class OutOfTime(BaseException):
    """Hashing has taken too long. No Exception: decoders and clients catch those, and go on."""


class Progress:
    """How far a process has come, in shared memory, so that the scan sees where it is stuck.

    Args:
        file: eight bytes to share.
    """

    def __init__(self, file: int) -> None:
        self._shared = mmap.mmap(file, _COUNT.size)

    def note(self, steps: int, decoding: bool = False) -> None:
        """Note the files started plus the tasks ended, and whether a picture is being decoded."""
        _COUNT.pack_into(self._shared, 0, steps << 1 | decoding)

    def read(self) -> tuple[int, bool]:
        """What has been noted last."""
        (value,) = _COUNT.unpack_from(self._shared)
        return value >> 1, bool(value & 1)


def main(pipe: int, progress: int, scan: int, nice: int, seconds: float, fast: bool, anonymous: bool) -> None:
    """Answer tasks until the scan closes the pipe or ends.

    Args:
        pipe: file descriptor of the connection that tasks come through.
        progress: file descriptor of what `Progress` shares.
        scan: number of the process that scans.
        nice: added to the niceness.
        seconds: for one file.
        fast: decode large JPEGs to less than their size.
        anonymous: read object storage without credentials.
    """
    os.nice(nice)
    signal.signal(signal.SIGALRM, _interrupt)
    if hasattr(os, "pidfd_open"):
        threading.Thread(target=_end_with, args=(scan,), daemon=True).start()
    hasher = _Hasher(Progress(progress), seconds, Bounds(fast=fast), anonymous)
    with Connection(pipe) as connection, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: Task = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the scan
            connection.send_bytes(pickle.dumps(hasher.hash_all(*task), pickle.HIGHEST_PROTOCOL))


def _end_with(scan: int) -> None:
    """End this process when the scan does, in the middle of a file as well."""
    with suppress(OSError):  # raised when it has ended already
        select.select([os.pidfd_open(scan)], [], [])
    os._exit(1)


class _Hasher:
    def __init__(self, progress: Progress, seconds: float, bounds: Bounds, anonymous: bool) -> None:
        self._progress, self._seconds, self._bounds, self._anonymous = progress, seconds, bounds, anonymous
        self._steps = 0

    def hash_all(self, paths: list[bytes], types: frozenset[str]) -> list[tuple[Any, ...]]:
        """Hash files and objects, each within its time; in the main thread, which gets signals."""
        near = not types <= set(DIGESTS)
        if near:
            _prepare_to_decode()
        outcomes: list[tuple[Any, ...]] = []
        for path in paths:
            self._steps += 1
            self._progress.note(self._steps)
            outcomes.append(tuple(self._hash_one(path, types, near)))
        self._steps += 1
        self._progress.note(self._steps)
        return outcomes

    def _hash_one(self, path: bytes, types: frozenset[str], near: bool) -> FileOutcome:
        content: Content | None = None
        try:
            # Again every second: an exception raised inside a callback of C code may be printed and
            # lost.
            signal.setitimer(signal.ITIMER_REAL, self._seconds, 1.0)
            try:
                pieces = read_object(path, self._anonymous) if is_object(path) else read_pieces(path)
                content = read_content(pieces, self._bounds, types)
                if not near:
                    return _exact(content)
                self._progress.note(self._steps, decoding=True)
                return _perceptual(path, content, self._bounds, types)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except OutOfTime:
            if content is None:
                why = f"reading it took longer than {self._seconds:g} s; see --file-timeout"
                return FileOutcome(0, None, why, NotLookedAt.TOO_SLOW)
            # The digests are kept, and the next scan does not spend the time again.
            note = f"decoding the picture took longer than {self._seconds:g} s; see --file-timeout"
            return _exact(content)._replace(trouble=note, kind=NotLookedAt.TOO_SLOW)
        except OSError as error:
            unseen = unseen_because(path, error, is_folder=False)
            return FileOutcome(0, None, unseen.why, unseen.kind)
        except StorageError as error:
            gone = isinstance(error, ObjectGone)
            return FileOutcome(0, None, str(error), NotLookedAt.VANISHED if gone else NotLookedAt.UNREADABLE)
        except MemoryError:
            outcome = FileOutcome(0, None) if content is None else _exact(content)
            return outcome._replace(trouble="there was not enough memory for it", kind=NotLookedAt.TOO_LARGE)


@cache
def _prepare_to_decode() -> None:
    """Import and load compiled code before the time of the first file begins."""
    from hashserver.provider.hashing.pictures import warm_up

    warm_up()


def _exact(content: Content) -> FileOutcome:
    return FileOutcome(content.size, tuple(map(content.digests.get, TYPES)))


def _perceptual(path: bytes, content: Content, bounds: Bounds, types: frozenset[str]) -> FileOutcome:
    from hashserver.provider.hashing.pictures import hash_content

    hashes = hash_content(path, content, bounds, types)
    digests = tuple(getattr(hashes, name) for name in TYPES)
    if hashes.not_looked_at is not None:
        return FileOutcome(content.size, digests, hashes.note, hashes.not_looked_at)
    return FileOutcome(content.size, digests, note=hashes.note, quality=hashes.pdq_quality, vague=hashes.vague)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
