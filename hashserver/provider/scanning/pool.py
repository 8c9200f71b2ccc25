"""The processes that hash. One that is stuck or has died is replaced, and the scan goes on.

Each gets its tasks through a pipe of its own, and notes in shared memory which file it is at. When
that has not changed for longer than a file may take, the process is in code that never returns to
Python, or waits for a mount that hangs: it is ended, and only the file it was at is the worse for
it.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType

from hashserver.errors import Trouble
from hashserver.processes import command
from hashserver.provider.hashing.digests import DIGESTS
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.walk import FoundFile
from hashserver.provider.scanning.worker import FileOutcome, Progress

CHUNK_PATH_BYTES = 1 << 15
"""Most bytes of paths in a task: a process's tasks fit into its pipe, so sending never waits."""

_AHEAD = 4  # tasks that a process has: one that it is at, and some so that it need not wait
_GRACE = 5.0  # seconds, for the process to notice by itself that a file takes too long
_LOOK = 0.25  # seconds between looks at how far the processes are

Hashed = tuple[FoundFile, FileOutcome]


class HashingFailed(Trouble):
    """The processes that hash cannot be started."""


@dataclass(slots=True)
class _Task:
    """Files to hash; `note` is why only their digests are wanted, `kind` for counting."""

    files: Sequence[FoundFile]
    types: frozenset[str]
    note: str | None = None
    kind: NotLookedAt | None = None


@dataclass(slots=True)
class _Worker:
    """A process; `steps` is how far it was at its last answer, `seen` how far at the last look."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    progress: Progress
    tasks: deque[_Task] = field(default_factory=deque)
    steps: int = 0
    seen: tuple[int, bool] = (0, False)
    still: float = 0.0


class Hashers:
    """Processes that hash files and objects.

    Args:
        types: hashes to compute.
        processes: how many.
        nice: added to their niceness.
        seconds: for one file.
        fast: decode large JPEGs to less than their size.
        anonymous: read object storage without credentials.
        reads_objects: there are objects to read, so the processes get what that takes.
    """

    def __init__(
        self,
        types: frozenset[str],
        *,
        processes: int,
        nice: int,
        seconds: float,
        fast: bool,
        anonymous: bool,
        reads_objects: bool = False,
    ) -> None:
        self._types = types
        self._reads_objects = reads_objects
        self._seconds = seconds
        self._arguments = (os.getpid(), nice, seconds, fast, anonymous)
        self._waiting: deque[_Task] = deque()
        self._done: deque[list[Hashed]] = deque()
        self._looked = time.monotonic()
        self._workers = [self._start() for _ in range(processes)]

    def __enter__(self) -> Hashers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()  # it has nothing to lose
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):  # a hanging mount keeps it from ending
                worker.process.wait(1)

    @property
    def has_room(self) -> bool:
        """Whether another task would be begun soon."""
        return not self._waiting and any(len(worker.tasks) < _AHEAD for worker in self._workers)

    @property
    def is_busy(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._waiting or self._done or any(worker.tasks for worker in self._workers))

    def submit(self, files: Sequence[FoundFile]) -> None:
        """Have some files hashed; their paths have CHUNK_PATH_BYTES, or are one."""
        self._waiting.append(_Task(files, self._types))
        self._hand_out()

    def next_done(self, seconds: float = math.inf) -> list[Hashed]:
        """Wait until some files are hashed; none after so many seconds.

        Raises:
            HashingFailed: no process can be started.
        """
        until = time.monotonic() + seconds
        while not self._done:
            rest = until - time.monotonic()
            if rest <= 0:
                return []
            by_pipe = {worker.pipe: worker for worker in self._workers}
            for ready in wait(list(by_pipe), min(rest, _LOOK)):
                assert isinstance(ready, Connection)
                self._receive(by_pipe[ready])
            self._look()
        return self._done.popleft()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        with tempfile.TemporaryFile() as shared, theirs:
            shared.truncate(8)
            numbers = (theirs.fileno(), shared.fileno())
            process = subprocess.Popen(  # noqa: S603 - ourselves
                command("hashserver.provider.scanning.worker", *numbers, *self._arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=numbers,
                env=_environment(secrets=self._reads_objects),
                process_group=0,  # Ctrl-C is for the scan, which ends them
            )
            return _Worker(process, ours, Progress(shared.fileno()))

    def _hand_out(self) -> None:
        """Give waiting tasks to the processes that have least to do."""
        while self._waiting:
            worker = min(self._workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= _AHEAD:
                return
            task = self._waiting.popleft()
            worker.tasks.append(task)
            paths = [file.path for file in task.files]
            with suppress(OSError):  # it has died, which is noticed when an answer is waited for
                worker.pipe.send_bytes(pickle.dumps((paths, task.types), pickle.HIGHEST_PROTOCOL))

    def _receive(self, worker: _Worker) -> None:
        try:
            answer = pickle.loads(worker.pipe.recv_bytes())  # noqa: S301 - from a process of ours
        except (EOFError, OSError):
            if not worker.progress.read()[0]:
                raise HashingFailed(
                    "a hashing process ended before it started; its own message is above"
                ) from None
            self._replace(worker, _how_it_ended(worker.process), None)
            return
        task = worker.tasks.popleft()
        worker.steps += len(task.files) + 1
        worker.still = 0.0
        outcomes = [FileOutcome(*parts) for parts in answer]
        if task.note is not None:
            outcomes = [
                outcome if outcome.trouble else outcome._replace(trouble=task.note, kind=task.kind)
                for outcome in outcomes
            ]
        self._done.append(list(zip(task.files, outcomes, strict=True)))
        self._hand_out()

    def _look(self) -> None:
        """Replace each process that has been at one file for too long."""
        elapsed = time.monotonic() - self._looked
        if elapsed < _LOOK:
            return
        self._looked += elapsed
        for worker in list(self._workers):
            seen = worker.progress.read()
            at_a_file = bool(worker.tasks) and seen[0] > worker.steps  # and not still starting
            if seen != worker.seen or not at_a_file:
                worker.seen, worker.still = seen, 0.0
                continue
            # Time in which nobody looked does not count: the machine may have slept, with the
            # process.
            worker.still += min(elapsed, 2 * _LOOK)
            if worker.still > self._seconds + _GRACE and not worker.pipe.poll():
                how = f"took longer than {self._seconds:g} s, and did not stop; see --file-timeout"
                self._replace(worker, how, NotLookedAt.TOO_SLOW)

    def _replace(self, worker: _Worker, how: str, kind: NotLookedAt | None) -> None:
        """End a process and do its tasks again in a new one, without the file that it was at.

        Args:
            worker: the process.
            how: it came to this, as the end of a sentence.
            kind: of what was not looked at; None where that depends on what it did.
        """
        worker.process.kill()
        worker.pipe.close()
        steps, decoding = worker.progress.read()
        self._workers[self._workers.index(worker)] = self._start()
        if worker.tasks:
            first = worker.tasks.popleft()
            self._waiting.extendleft(
                reversed([*self._without_culprit(first, steps - worker.steps - 1, decoding, how, kind)])
            )
        self._waiting.extend(worker.tasks)
        self._hand_out()

    def _without_culprit(
        self, task: _Task, at: int, decoding: bool, how: str, kind: NotLookedAt | None
    ) -> Iterator[_Task]:
        if not 0 <= at < len(task.files):
            yield task
            return
        culprit = task.files[at]
        digests = task.types & set(DIGESTS)
        kind = kind or (NotLookedAt.NOT_DECODABLE if decoding else NotLookedAt.UNREADABLE)
        if decoding and digests:
            yield _Task([culprit], digests, f"decoding the picture {how}", kind)
        else:
            what = "decoding the picture" if decoding else "reading it"
            self._done.append([(culprit, FileOutcome(0, None, f"{what} {how}", kind))])
        if rest := [file for place, file in enumerate(task.files) if place != at]:
            yield _Task(rest, task.types, task.note, task.kind)


# What a process needs that reads files and decodes pictures.
_PLAIN = frozenset(("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"))
_PLAIN_STARTS = ("LC_", "LD_", "PYTHON", "NUMBA_", "OMP_", "XDG_CACHE_", "COVERAGE_")
_OBJECTS = frozenset(("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "XDG_CONFIG_HOME"))
_OBJECT_STARTS = ("AWS_", "BOTO")


def _environment(*, secrets: bool) -> dict[str, str]:
    """The environment of a hashing process: it decodes pictures of strangers, and knows no secrets.

    Args:
        secrets: add the credentials and the proxies for reading objects.
    """
    given = {name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith(_PLAIN_STARTS)}
    if secrets:
        given |= {
            name: value
            for name, value in os.environ.items()
            if name in _OBJECTS or name.startswith(_OBJECT_STARTS) or name.upper().endswith("_PROXY")
        }
    return given


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(1)
    except subprocess.TimeoutExpired:
        return "ended the process unexpectedly"
    if code >= 0:
        return f"ended the process unexpectedly, with exit code {code}"
    return f"ended the process unexpectedly ({signal.Signals(-code).name})"
