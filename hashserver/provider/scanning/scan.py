"""The scan itself: files go through the walk, the hashing processes and the state to the server."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import islice

import numpy as np
import orjson

from hashcore.hashtypes import HASH_TYPES
from hashserver.client import Client, ClientError
from hashserver.errors import Trouble
from hashserver.provider.hashing.digests import DIGESTS, TYPES
from hashserver.provider.hashing.looked_at import NotLookedAt
from hashserver.provider.scanning.objects import is_object, list_objects
from hashserver.provider.scanning.pool import CHUNK_PATH_BYTES, Hashed, Hashers
from hashserver.provider.scanning.state import FileMatch, State
from hashserver.provider.scanning.walk import FoundFile, Mounts, Unseen, WalkOptions, walk
from hashserver.provider.served import check_served

_LOOK_UP = 1024  # files looked up in the state at a time
_CHUNK_FILES, _CHUNK_BYTES = 512, 32 << 20  # of one task of a hashing process
_ASK = 10_000  # files asked about at a time
_HOOK_SECONDS = 300
_PAUSE = 2.0
_MOST_IN_VAIN = 8  # rounds that no answer of the state that was named has come of


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
        allow_empty: a server without sets, and roots that have become empty, are no trouble.
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
    allow_empty: bool = False
    walk: WalkOptions = field(default_factory=WalkOptions)


@dataclass(slots=True)
class ScanResult:
    """What a scan has come to so far. Found are `hashed + unchanged`, and those in `not_looked_at`.

    Args:
        files, bytes: found.
        read, read_bytes: files that were read to the end in this scan.
        hashed: of these, those that nothing could be said against.
        unchanged: files that were looked at by an earlier scan and are as they were.
        not_looked_at: files, and files whose picture was not looked at, by kind.
        folders: roots and folders that could not be looked at, by kind.
        kept: files below such folders, and unreadable ones, that are known from earlier scans.
        vague: pictures without a perceptual hash that says enough; they count as looked at.
        asked: files that the server has been asked about.
        hit_files: that matched.
        hook_failures: matches that the command of --on-hit has not taken.
        generation, store, state: of the sets, as the server said last.
        seconds: so far.
    """

    files: int = 0
    bytes: int = 0
    read: int = 0
    read_bytes: int = 0
    hashed: int = 0
    unchanged: int = 0
    not_looked_at: Counter[NotLookedAt] = field(default_factory=Counter)
    folders: Counter[NotLookedAt] = field(default_factory=Counter)
    kept: int = 0
    vague: int = 0
    asked: int = 0
    hit_files: int = 0
    hook_failures: int = 0
    generation: int = 0
    store: str = ""
    state: str = ""
    seconds: float = 0.0


class SetsDisagree(Trouble):
    """What the server says of its sets, and what its answers come from, do not come together."""


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
    a scan that is interrupted goes on where it was. Files are asked about again when what the
    server may have to say of them has changed: its sets, which of them this party may see, or the
    store.

    Args:
        roots: folders, files, and `s3://bucket/prefix`.
        client: of the server.
        state: of this storage.
        options: how.
        on_progress: told how far it is, often.
        on_trouble: told of each path that could not be looked at, or not told of, and why.
        on_wait: told when the server cannot be reached and is waited for.

    Raises:
        StorageError: a bucket cannot be listed.
        NothingServed: the server has no set with any of these types.
        SetsDisagree: several servers seem to answer.
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
        self._current = ""  # what answers have to come from; see `_key`
        self._in_vain = 0
        self._tried: set[tuple[bytes, tuple[str, ...]]] = set()

    def run(self, roots: Sequence[bytes]) -> ScanResult:
        self._learn_sets()  # a server that is not there is better known before hours of hashing
        with self._hashers(roots) as hashers:
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
        self._tell_again()
        self._result.hit_files = sum(1 for _ in self._state.hits())
        self._result.vague = self._state.count_vague()
        self._progress()
        return self._result

    def _hashers(self, roots: Sequence[bytes]) -> Hashers:
        options = self._options
        return Hashers(
            options.types,
            processes=options.processes,
            nice=options.nice,
            seconds=options.file_timeout,
            fast=options.fast_decode,
            anonymous=options.anonymous,
            reads_objects=any(map(is_object, roots)),
        )

    def _unread(self, roots: Sequence[bytes]) -> Iterator[FoundFile]:
        """The files that have to be read; all are counted and looked up."""
        again = (NotLookedAt.NO_PLUGIN,) if find_spec("pillow_heif") else ()
        found = self._find(roots)
        while batch := list(islice(found, _LOOK_UP)):
            self._result.files += len(batch)
            self._result.bytes += sum(file.size for file in batch)
            unread, others = self._state.split(batch, self._wanted, again)
            for kind, count in others.items():
                if kind is None:
                    self._result.unchanged += count
                else:
                    self._result.not_looked_at[kind] += count
            self._progress()
            if not unread:
                self._try_to_ask(_ASK)
            yield from unread

    def _find(self, roots: Sequence[bytes]) -> Iterator[FoundFile]:
        options = self._options
        known_mounts = () if options.allow_empty or options.walk.follow_links else self._state.mounts
        mounts, seen = Mounts(known_mounts), Counter[bytes]()
        missing: set[bytes] = set()

        def on_unseen(unseen: Unseen) -> None:
            missing.add(unseen.path)
            self._note_unseen(unseen, found=not unseen.is_folder)

        folders = [root for root in roots if not is_object(root)]
        yield from walk(folders, options.walk, on_unseen, mounts, seen)
        for root in filter(is_object, roots):
            yield from list_objects(root, options.walk, options.anonymous, seen)
        self._state.keep_mounts(mounts.found | mounts.missing)
        for root in roots:
            within = (other for other in roots if other.startswith(root) or root.startswith(other))
            if any(seen[other] for other in within) or options.allow_empty or root in missing:
                continue
            if known := self._state.knows_below(root):
                why = f"it had {known:,} files at an earlier scan and has none now; see --allow-empty"
                self._note_unseen(Unseen(root, NotLookedAt.MISSING, why, is_folder=True), found=False)

    def _note_unseen(self, unseen: Unseen, *, found: bool) -> None:
        """Count what could not be looked at; `found`: it is a file that is not counted yet."""
        if unseen.is_folder:
            self._result.folders[unseen.kind] += 1
        else:
            self._result.files += int(found)
            self._result.not_looked_at[unseen.kind] += 1
        self._result.kept += self._state.could_not_see(unseen)
        self._tell_trouble(unseen.path, unseen.why)

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
            if outcome.digests is not None:
                self._result.read += 1
                self._result.read_bytes += outcome.size
            if outcome.kind is None:
                self._result.hashed += 1
            elif outcome.digests is None:
                self._note_unseen(Unseen(file.path, outcome.kind, outcome.trouble or ""), found=False)
            else:
                self._result.not_looked_at[outcome.kind] += 1
                self._tell_trouble(file.path, outcome.trouble or "")
        self._state.remember(hashed, self._made)
        self._progress()
        self._try_to_ask(_ASK)

    def _try_to_ask(self, at_least: int) -> None:
        """Ask when enough files wait; while the server is away, hashing goes on."""
        waiting = self._result.read - self._result.asked
        began = time.monotonic()
        if waiting < at_least or began < self._ask_again:
            return
        try:
            self._learn_sets()
            self._ask_now(_ASK)
            self._away_since = None
        except ClientError as error:
            self._note_absence(error, began)

    def _ask(self, at_least: int) -> bool:
        """Ask about what is left, with patience; False when nothing is."""
        while True:
            began = time.monotonic()
            try:
                self._learn_sets()
                asked = self._ask_now(_ASK)
            except ClientError as error:
                self._note_absence(error, began)
                time.sleep(min(_PAUSE, self._options.patience))
                continue
            self._away_since = None
            if self._in_vain > _MOST_IN_VAIN:
                raise SetsDisagree(
                    f"{self._client.server} names one state of its sets and answers from others, time after time; "
                    "do several servers with different sets share this address? What matched is kept, and the "
                    "next scan asks again"
                )
            if self._in_vain:
                time.sleep(min(_PAUSE, 0.1 * 2**self._in_vain))
            return asked >= at_least

    def _note_absence(self, error: ClientError, began: float) -> None:
        """Wait on, unless the server has been away for too long; `began`: when it was asked."""
        now = time.monotonic()
        if error.refused:
            raise error
        if self._away_since is None:
            self._away_since = began
            self._on_wait(f"{error}; waiting up to {self._options.patience:.0f} s for it")
        if now - self._away_since > self._options.patience:
            raise error
        self._ask_again = now + _PAUSE

    def _learn_sets(self) -> None:
        """Ask what is served, and make sure that it can answer at all.

        Raises:
            NothingServed: it cannot.
        """
        sets = self._client.sets()
        result = self._result
        result.generation, result.store = sets["generation"], sets.get("store") or ""
        result.state = sets.get("state") or ""
        # A server of an earlier version has no state: address, generation and time stand for it.
        told = result.state or f"{self._client.server} {sets['generation']} {sets.get('published')}"
        self._current = self._key(told)
        if not self._options.allow_empty:
            check_served(sets, self._options.types, self._client.server)

    def _key(self, state: str) -> str:
        """What an answer comes from, and the types that it is about."""
        return f"{state} {','.join(sorted(self._options.types))}"

    def _ask_now(self, count: int) -> int:
        rows = self._state.unasked(self._current, count)
        if not rows:
            return 0
        matches: dict[bytes, list[FileMatch]] = {}
        keys: set[str | None] = set()
        for place, name in enumerate(TYPES):
            asked = [(path, digest) for path, digests in rows if (digest := digests[place]) is not None]
            if name in self._options.types and asked:
                keys.add(self._check(name, asked, matches))
        # Several requests may have met several states: the file counts as asked about only in one
        # that all of its answers came from.
        key = keys.pop() if len(keys) == 1 else None if keys else self._current
        self._state.answered(key, [path for path, _ in rows], matches)
        for path in matches:
            self._tell(path)
        self._in_vain = 0 if key == self._current else self._in_vain + 1
        self._result.asked += len(rows)
        self._result.hit_files += len(matches)
        self._progress()
        return len(rows)

    def _check(
        self, name: str, digests: list[tuple[bytes, bytes]], matches: dict[bytes, list[FileMatch]]
    ) -> str | None:
        """Ask about digests of one type, add the matches; returns what the answer came from."""
        packed = np.frombuffer(b"".join([digest for _, digest in digests]), np.uint8).reshape(len(digests), -1)
        answer = self._client.check_packed(HASH_TYPES[name], packed)
        for hit in answer.matches:
            path = digests[hit.index][0]
            for entry in hit.entries:
                match = FileMatch(name, hit.hash, hit.distance, entry.set, entry.category, entry.id)
                matches.setdefault(path, []).append(match)
        if answer.states:
            return self._key(answer.state) if answer.state else None
        same = not self._result.state and answer.generations == (self._result.generation,)
        return self._current if same else None

    def _tell_again(self) -> None:
        """Tell of what matched and the hook has not taken, now or at an earlier scan."""
        if self._options.on_hit:
            for path in self._state.with_untold():
                self._tell(path)

    def _tell(self, path: bytes) -> None:
        if not self._options.on_hit:
            return
        for match in self._state.untold(path):
            attempt = (path, tuple(map(str, match.key)))
            if attempt in self._tried:
                continue
            self._tried.add(attempt)
            if self._call_hook(path, match):
                self._state.told(path, match)

    def _call_hook(self, path: bytes, match: FileMatch) -> bool:
        text = path.decode("utf-8", "replace")
        content = orjson.dumps({"path": text, "path_hex": path.hex(), **asdict(match)})
        try:
            done = subprocess.run(self._options.on_hit, input=content, timeout=_HOOK_SECONDS)  # noqa: S603
            why = f"ended with exit code {done.returncode}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = f"failed: {error}"
        if not why:
            return True
        self._result.hook_failures += 1
        self._tell_trouble(path, f"the command of --on-hit {why}; the next scan tells it again")
        return False

    def _progress(self) -> None:
        self._result.seconds = time.monotonic() - self._started
        self._on_progress(self._result)
