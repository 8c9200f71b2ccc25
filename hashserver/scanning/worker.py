"""What a process that hashes does: files and objects in, hashes or sentences out, each within its time."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from hashserver.hashing import Bounds, Content, FileHashes, hash_content, read_content, read_pieces
from hashserver.scanning.objects import StorageError, is_object, read_object

_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What hashing one file has come to.

    Args:
        hashes: None where it could not be read.
        trouble: why there are none, or not all; None where all went well.
    """

    hashes: FileHashes | None
    trouble: str | None = None


class OutOfTime(BaseException):
    """Hashing has taken too long. No Exception: decoders and clients catch those, and go on."""


def begin_hashing(nice: int, scan: int) -> None:
    """Prepare a process that hashes for the scan of so many a process number."""
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the scan, which ends them
    signal.signal(signal.SIGALRM, _interrupt)
    if hasattr(os, "pidfd_open"):
        threading.Thread(target=_end_with, args=(scan,), daemon=True).start()


def _end_with(scan: int) -> None:
    """End this process when the scan does: one that is killed cannot tell its processes to."""
    with suppress(OSError):  # raised when it has ended already
        select.select([os.pidfd_open(scan)], [], [])
    os._exit(1)


def hash_chunk(paths: list[bytes], types: frozenset[str], anonymous: bool, seconds: float) -> list[Outcome]:
    """Hash some files and objects, each within some seconds; in the main thread, where signals arrive."""
    return [_hash_one(path, types, anonymous, seconds) for path in paths]


def _hash_one(path: bytes, types: frozenset[str], anonymous: bool, seconds: float) -> Outcome:
    content: Content | None = None
    try:
        with _time_limit(seconds):
            pieces = read_object(path, anonymous) if is_object(path) else read_pieces(path)
            content = read_content(pieces, _BOUNDS, types)
            return Outcome(hash_content(path, content, _BOUNDS, types))
    except OutOfTime:
        if content is None:
            return Outcome(None, f"reading it took longer than {seconds:g} s; see --file-timeout")
        note = f"decoding the picture took longer than {seconds:g} s; see --file-timeout"
        # The digests are kept, and the next scan does not spend the time again.
        name = path.decode("utf-8", "replace")
        return Outcome(FileHashes(name, content.size, **content.digests, note=note), note)  # type: ignore[arg-type]
    except OSError as error:
        return Outcome(None, error.strerror or str(error))
    except StorageError as error:
        return Outcome(None, str(error))


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    # Again every second: an exception raised inside a callback of C code may be printed and lost.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime
