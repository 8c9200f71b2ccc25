"""Checking a listing: its rows go to the server in parallel batches, and matches are reported."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HashType
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Digests, Reject, Rows, Withdrawals
from hashserver.client import CheckResult, Client
from hashserver.provider.matches import LineMatch, Report
from hashserver.readers import Source, read_rows
from hashserver.readers.read_ahead import read_ahead

_SHOWN_REJECTS = 10


@dataclass(slots=True)
class ListingResult:
    """What a check of a listing came to.

    Args:
        checked: hashes that the server has answered for.
        matched: hashes that matched.
        rejected: lines without a usable hash.
        first_rejects: a few of them.
        not_checkable: rows of an inventory without a hash.
        withdrawn: items that the listing's source has withdrawn; there is nothing to ask about.
        types: hash types that were asked about.
        numbers: generations that answered, ascending.
        seconds: wall time.
    """

    checked: int = 0
    matched: int = 0
    rejected: int = 0
    first_rejects: list[Reject] = field(default_factory=list)
    not_checkable: int = 0
    withdrawn: int = 0
    types: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every line was read, had a hash of the contents, and was checked."""
        return not (self.rejected or self.not_checkable)

    @property
    def generations(self) -> str:
        """The generations that answered, in words."""
        if not self.numbers:
            return "none"
        return " to ".join(str(number) for number in sorted({min(self.numbers), max(self.numbers)}))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Digests of one type, and the rows of the block that they stand in."""

    hash_type: HashType
    digests: Digests
    rows: NDArray[np.int64]
    block: Rows


def check_listing(
    source: Source,
    client: Client,
    report: Report,
    *,
    format: str | None,
    hash_type: str | None,
    batch: int,
    distances: Mapping[str, int],
    on_progress: Callable[[int], None],
) -> ListingResult:
    """Check every hash of a listing.

    Args:
        source: the listing.
        client: to the server.
        report: takes the matches, in the order of the listing.
        format, hash_type: what the listing is, where it does not tell.
        batch: hashes in a request.
        distances: greatest distance by perceptual type; each set's own where absent.
        on_progress: called with the number of hashes answered so far.

    Raises:
        ReadError: the listing cannot be read.
        ClientError: the server cannot be asked; what was found until then is in the report.
    """
    result = ListingResult()
    started = time.monotonic()

    def on_reject(reject: Reject) -> None:
        result.rejected += 1
        if len(result.first_rejects) < _SHOWN_REJECTS:
            result.first_rejects.append(reject)

    blocks = read_ahead(read_rows(source, format=format, hash_type=hash_type, on_reject=on_reject))
    under_way: deque[tuple[_Batch, Future[CheckResult]]] = deque()

    def settle() -> None:
        sent, future = under_way.popleft()
        _record(sent, future.result(), report, result)
        on_progress(result.checked)

    with ThreadPoolExecutor(client.connections) as senders:
        try:
            for piece in _batches(blocks, batch, result):
                if len(under_way) >= 2 * client.connections:
                    settle()
                distance = distances.get(piece.hash_type.name)
                under_way.append(
                    (piece, senders.submit(client.check_packed, piece.hash_type, piece.digests, distance))
                )
            while under_way:
                settle()
        except BaseException:
            senders.shutdown(wait=False, cancel_futures=True)
            raise
    result.not_checkable = source.not_checkable
    result.seconds = time.monotonic() - started
    return result


def _batches(blocks: Iterator[Rows | Withdrawals], size: int, result: ListingResult) -> Iterator[_Batch]:
    for block in blocks:
        if isinstance(block, Withdrawals):
            result.withdrawn += len(block)  # nothing to ask about
            continue
        for name, column in block.hashes.items():
            here = np.arange(len(block)) if column.present is None else np.flatnonzero(column.present)
            digests = column.digests if column.present is None else column.digests[here]
            for start in range(0, len(here), size):
                stop = start + size
                yield _Batch(look_up(name), digests[start:stop], here[start:stop], block)


def _record(sent: _Batch, answer: CheckResult, report: Report, result: ListingResult) -> None:
    result.checked += answer.checked.get(sent.hash_type.name, 0)
    result.types.add(sent.hash_type.name)
    result.numbers.update(answer.generations)
    matched = set()
    for match in answer.matches:
        row = int(sent.rows[match.index])
        matched.add(row)
        names = sent.block.names
        name = None if names is None else names[row].decode("utf-8", "surrogateescape")
        for entry in match.entries:
            report.add(
                LineMatch(
                    line=int(sent.block.lines[row]),
                    name=name,
                    type=match.type,
                    hash=match.hash,
                    distance=match.distance,
                    set=entry.set,
                    category=entry.category,
                    id=entry.id,
                )
            )
    result.matched += len(matched)
