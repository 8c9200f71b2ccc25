"""The scan itself: files go through the walk, the hashing processes and the state to the server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import orjson

from hashcore.hashtypes import HASH_TYPES
from hashserver.client import Client, ClientError
from hashserver.provider.hashing.digests import DIGESTS, TYPES
from hashserver.provider.scanning.objects import is_object, list_objects
from hashserver.provider.scanning.pool import CHUNK_PATH_BYTES, Hashed, Hashers
from hashserver.provider.scanning.state import FileMatch, State
from hashserver.provider.scanning.walk import FoundFile, WalkOptions, walk

_LOOK_UP = 1024  # files looked up in the state at a time
_CHUNK_FILES, _CHUNK_BYTES = 512, 32 << 20  # of one task of a hashing process
_ASK = 10_000  # files asked about at a time
_HOOK_SECONDS = 300
_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How to scan.

    Args:
        types: hashes to compute and ask about.
        processes: that hash.
        nice: added to their niceness.
        max_read_rate: the most bytes to read per second; None for no limit.
        patience: seconds to wait for a server that does not answer.
        on_hit: a command that gets the JSON of each hit on its standard input; empty for none.
        file_timeout: seconds for one file; one that takes longer is skipped and counted as trouble.
        fast_decode: decode large JPEGs to less than their size; see
            `hashserver.provider.hashing.digests.Bounds`.
        anonymous: read object storage without credentials.
        walk: what to look at.
    """

    types: frozenset[str]
    processes: int = 1
    nice: int = 0
    max_read_rate: float | None = None
    patience: float = 900.0
    on_hit: Sequence[str] = ()
    file_timeout: float = 60.0
    fast_decode: bool = False
    anonymous: bool = False
    walk: WalkOptions = field(default_factory=WalkOptions)


@dataclass(slots=True)
class ScanResult:
    """What a scan has come to so far."""

    files: int = 0
    bytes: int = 0
    hashed: int = 0
    hashed_bytes: int = 0
    asked: int = 0
    hit_files: int = 0
    troubles: int = 0
    generation: int = 0
    seconds: float = 0.0


def scan(
    roots: Sequence[bytes],
    client: Client,
    state: State,
    options: ScanOptions,
    *,
    on_progress: Callable[[ScanResult], None] = lambda _: None,
    on_trouble: Callable[[bytes, str], None] = lambda _path, _reason: None,
    on_wait: Callable[[str], None] = lambda _: None,
) -> ScanResult:
    """Scan folders and buckets.

    What has been answered is in the state at once, and what has been hashed within some seconds, so
    a scan that is interrupted goes on where it was. Files are asked about again when the server has
    a newer generation.

    Args:
        roots: folders, files, and `s3://bucket/prefix`.
        client: of the server.
        state: of this storage.
        options: how.
        on_progress: told how far it is, often.
        on_trouble: told of each path that could not be read, and why.
        on_wait: told when the server cannot be reached and is waited for.

    Raises:
        StorageError: a bucket cannot be listed.
        ClientError: the server was away for longer than the patience, or refuses; the state has the
            rest.
    """
    return _Scan(client, state, options, on_progress, on_trouble, on_wait).run(roots)


def _names(types: frozenset[str], fast: bool) -> tuple[frozenset[str], frozenset[str]]:
    """The hashes with which a file need not be read again, and those it has after reading.

    The hash of a picture that was decoded in full is good enough for a scan with fast decoding, but
    not the other way round.
    """
    exact, near = types & set(DIGESTS), types - set(DIGESTS)
    less = frozenset(f"{name}:fast" for name in near)
    return (exact | less, exact | less) if fast else (types, types | less)


class _Scan:
    def __init__(
        self,
        client: Client,
        state: State,
        options: ScanOptions,
        on_progress: Callable[[ScanResult], None],
        on_trouble: Callable[[bytes, str], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self._client, self._state, self._options = client, state, options
        self._on_progress, self._tell_trouble, self._on_wait = on_progress, on_trouble, on_wait
        self._result = ScanResult()
        self._wanted, self._made = _names(options.types, options.fast_decode)
        self._started = time.monotonic()
        self._away_since: float | None = None
        self._ask_again = 0.0
        self._handed_bytes = 0
        self._last_error: ClientError | None = None

    def run(self, roots: Sequence[bytes]) -> ScanResult:
        self._try_to_ask(0)  # a server that is not there is better known before hours of hashing
        with self._hashers() as hashers:
            for chunk in self._chunks(self._unread(roots)):
                while not hashers.has_room:
                    self._settle(hashers.next_done())
                hashers.submit(chunk)
                self._handed_bytes += sum(file.size for file in chunk)
                self._hold_back(hashers)
            while hashers.is_busy:
                self._settle(hashers.next_done())
        while self._ask(1):
            pass
        self._result.hit_files = sum(1 for _ in self._state.hits())
        self._progress()
        return self._result

    def _hashers(self) -> Hashers:
        options = self._options
        return Hashers(
            options.types,
            processes=options.processes,
            nice=options.nice,
            seconds=options.file_timeout,
            fast=options.fast_decode,
            anonymous=options.anonymous,
        )

    def _unread(self, roots: Sequence[bytes]) -> Iterator[FoundFile]:
        """The files that have to be read; all are counted and looked up."""
        found = self._find(roots)
        while batch := list(islice(found, _LOOK_UP)):
            self._result.files += len(batch)
            self._result.bytes += sum(file.size for file in batch)
            unread = self._state.split(batch, self._wanted)
            self._progress()
            if not unread:
                self._try_to_ask(_ASK)
            yield from unread

    def _find(self, roots: Sequence[bytes]) -> Iterator[FoundFile]:
        options = self._options
        yield from walk([root for root in roots if not is_object(root)], options.walk, self._on_trouble)
        for root in filter(is_object, roots):
            yield from list_objects(root, options.walk, options.anonymous)

    def _chunks(self, files: Iterator[FoundFile]) -> Iterator[list[FoundFile]]:
        chunk: list[FoundFile] = []
        size = path_bytes = 0
        for file in files:
            if chunk and (
                len(chunk) >= _CHUNK_FILES
                or size >= _CHUNK_BYTES
                or path_bytes + len(file.path) > CHUNK_PATH_BYTES
            ):
                yield chunk
                chunk, size, path_bytes = [], 0, 0
            chunk.append(file)
            size += file.size
            path_bytes += len(file.path)
        if chunk:
            yield chunk

    def _hold_back(self, hashers: Hashers) -> None:
        """Wait until the rate allows reading on."""
        if not self._options.max_read_rate:
            return
        due = self._started + self._handed_bytes / self._options.max_read_rate
        while (seconds := due - time.monotonic()) > 0:
            if hashers.is_busy:
                self._settle(hashers.next_done(seconds))
            else:
                time.sleep(seconds)

    def _settle(self, hashed: list[Hashed]) -> None:
        for file, outcome in hashed:
            if outcome.trouble is not None:
                self._on_trouble(file.path, outcome.trouble)
            if outcome.digests is not None:
                self._result.hashed += 1
                self._result.hashed_bytes += outcome.size
        self._state.remember(hashed, self._made)
        self._progress()
        self._try_to_ask(_ASK)

    def _try_to_ask(self, at_least: int) -> None:
        """Ask when enough files wait; while the server is away, hashing goes on."""
        waiting = self._result.hashed - self._result.asked
        if waiting < at_least or time.monotonic() < self._ask_again:
            return
        try:
            self._learn_generation()
            if at_least:
                self._ask_now(_ASK)
            self._away_since = None
        except ClientError as error:
            self._note_absence(error)
            if not at_least:
                raise

    def _ask(self, at_least: int) -> bool:
        """Ask about what is left, with patience; False when nothing is."""
        while True:
            try:
                self._learn_generation()
                asked = self._ask_now(_ASK)
            except ClientError as error:
                self._note_absence(error)
                time.sleep(_PAUSE)
                continue
            self._away_since = None
            return asked >= at_least

    def _note_absence(self, error: ClientError) -> None:
        now = time.monotonic()
        if error.refused:
            raise error
        if self._away_since is None:
            self._away_since = now
            self._on_wait(f"{error}; waiting up to {self._options.patience:.0f} s for it")
        elif now - self._away_since > self._options.patience:
            raise error
        self._ask_again = now + _PAUSE

    def _learn_generation(self) -> None:
        self._result.generation = max(self._result.generation, self._client.sets()["generation"])

    def _ask_now(self, count: int) -> int:
        rows = self._state.unasked(self._client.server, self._result.generation, count)
        if not rows:
            return 0
        matches: dict[bytes, list[FileMatch]] = {}
        generations = [self._result.generation]
        for place, name in enumerate(TYPES):
            asked = [(path, digest) for path, digests in rows if (digest := digests[place]) is not None]
            if name in self._options.types and asked:
                generations.append(self._check(name, asked, matches))
        # Several requests may have met several generations: the file counts as asked about in the
        # oldest.
        generation = min(generations)
        before = {path: self._state.matches_of(path) for path in matches}
        self._state.answered(self._client.server, generation, [path for path, _ in rows], matches)
        for path, found in matches.items():
            for match in found:
                if match not in before[path]:
                    self._call_hook(path, match)
        self._result.generation = max(generations)
        self._result.asked += len(rows)
        self._result.hit_files += len(matches)
        self._progress()
        return len(rows)

    def _check(self, name: str, digests: list[tuple[bytes, bytes]], matches: dict[bytes, list[FileMatch]]) -> int:
        """Ask about digests of one type, add the matches; returns the generation that answered."""
        packed = np.frombuffer(b"".join([digest for _, digest in digests]), np.uint8).reshape(len(digests), -1)
        answer = self._client.check_packed(HASH_TYPES[name], packed)
        for hit in answer.matches:
            path = digests[hit.index][0]
            for entry in hit.entries:
                match = FileMatch(name, hit.hash, hit.distance, entry.set, entry.category, entry.id)
                matches.setdefault(path, []).append(match)
        return answer.generation

    def _call_hook(self, path: bytes, match: FileMatch) -> None:
        if not self._options.on_hit:
            return
        text = path.decode("utf-8", "replace")
        content = orjson.dumps({"path": text, "path_hex": path.hex(), **asdict(match)})
        try:
            done = subprocess.run(self._options.on_hit, input=content, timeout=_HOOK_SECONDS)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            self._on_trouble(path, f"the command of --on-hit failed: {error}")
            return
        if done.returncode:
            self._on_trouble(path, f"the command of --on-hit ended with exit code {done.returncode}")

    def _on_trouble(self, path: bytes, reason: str) -> None:
        self._result.troubles += 1
        self._tell_trouble(path, reason)

    def _progress(self) -> None:
        self._result.seconds = time.monotonic() - self._started
        self._on_progress(self._result)
