"""From what a caller has to packed batches: hexadecimal strings, bytes or arrays become digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcore.hashtypes import HashType, check_distance
from hashcore.hashtypes import hash_type as look_up
from hashcore.rows import Digests
from hashserver.client.results import Invalid

Hashes = Iterable[str | bytes] | NDArray[np.uint8]
"""Hashes of one type: strings (hexadecimal, or base64 for PhotoDNA) and raw digests as bytes, or an
array uint8[n, width]."""

Places = NDArray[np.int64] | range
"""Where each digest stood in what the caller gave."""


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """What one request asks about.

    Args:
        hash_type: the type.
        digests: uint8[n, width].
        places: n indices of the caller's.
        max_distance: of a perceptual type; None for each set's own.
    """

    hash_type: HashType
    digests: Digests
    places: Places
    max_distance: int | None = None

    def part(self, start: int, stop: int) -> RequestBatch:
        """Some of the hashes, by their numbers in this batch."""
        chosen = slice(start, stop)
        return RequestBatch(self.hash_type, self.digests[chosen], self.places[chosen], self.max_distance)


@dataclass(frozen=True, slots=True)
class Question:
    """One check: its types, its batches (at least one), and the hashes that are malformed."""

    types: list[str]
    batches: list[RequestBatch]
    invalid: list[Invalid]


def question(hashes: Mapping[str, Hashes], max_distance: Mapping[str, int] | None, size: int) -> Question:
    """Decode the hashes of a check, and cut them into batches of a size.

    A check of nothing has one empty batch, so that a key is tried and a generation answers all the
    same.

    Raises:
        UnknownHashType: there is no such type.
        BadDistance: a distance that cannot be asked for.
        TypeError, ValueError: no types at all, one hash instead of several, or an array that holds
            no digests.
    """
    if not hashes:
        raise ValueError("name the hashes to check by their type, as in check(md5=[...])")
    distances = max_distance or {}
    for name, distance in distances.items():
        check_distance(name, distance)
    batches: list[RequestBatch] = []
    invalid: list[Invalid] = []
    for name, items in hashes.items():
        hash_type = look_up(name)
        digests, places, bad = decoded(hash_type, items)
        invalid += bad
        batches += _cut(RequestBatch(hash_type, digests, places, distances.get(name)), size)
    full = [batch for batch in batches if len(batch.digests)]
    return Question(list(hashes), full or batches[:1], invalid)


def _cut(whole: RequestBatch, size: int) -> Iterator[RequestBatch]:
    for start in range(0, max(1, len(whole.digests)), size):
        yield whole.part(start, start + size)


def decoded(hash_type: HashType, hashes: Hashes) -> tuple[Digests, Places, list[Invalid]]:
    """Read hashes of one type.

    Returns:
        digests uint8[n, width] of those that are well-formed, where they stood, and the others.

    Raises:
        TypeError, ValueError: these are not hashes in a row.
    """
    if isinstance(hashes, np.ndarray) and hashes.dtype.kind not in "UO":
        digests = as_digests(hash_type, hashes)
        return digests, range(len(digests)), []
    if isinstance(hashes, str | bytes | bytearray | memoryview):
        raise TypeError(f"{hash_type.name} takes a list of hashes; put a single hash into a list")
    items = list(hashes)
    types = set(map(type, items))
    if types == {bytes} and set(map(len, items)) == {hash_type.width}:
        packed = np.frombuffer(b"".join(items), np.uint8).reshape(-1, hash_type.width)
        return packed, range(len(items)), []
    return _from_hex(hash_type, items, items if types <= {str} else [_as_hex(item) for item in items])


def as_digests(hash_type: HashType, array: NDArray[Any]) -> Digests:
    """The array itself when it holds digests, C-contiguous.

    Raises:
        ValueError: it does not.
    """
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != hash_type.width:
        raise ValueError(
            f"an array of {hash_type.name} digests is uint8[n, {hash_type.width}], "
            f"not {array.dtype}{list(array.shape)}"
        )
    return np.ascontiguousarray(array)


def _from_hex(
    hash_type: HashType, items: Sequence[object], texts: Sequence[Any]
) -> tuple[Digests, Places, list[Invalid]]:
    from hashcore.text.hexcodec import OK, decode_hex  # brings numba, which a scan has no use for

    # One byte a character: what is not Latin-1 becomes a question mark, which is no digit either.
    buffer = np.frombuffer("".join(texts).encode("latin-1", "replace"), np.uint8)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    digests, status, wrong = decode_hex(hash_type, buffer, np.cumsum(lengths) - lengths, lengths)
    if not wrong:
        return digests, range(len(items)), []
    good = np.flatnonzero(status == OK)
    bad = np.flatnonzero(status != OK).tolist()
    return digests[good], good, [Invalid(hash_type.name, place, _reason(hash_type, items[place])) for place in bad]


def _as_hex(item: object) -> str:
    if isinstance(item, str):
        return item
    return bytes(item).hex() if isinstance(item, bytes | bytearray | memoryview) else ""


def _reason(hash_type: HashType, item: object) -> str:
    if isinstance(item, str):
        from hashcore.text.hexcodec import explain_invalid

        return explain_invalid(hash_type, item)
    if isinstance(item, bytes | bytearray | memoryview):
        size = memoryview(item).nbytes
        return f"expected {hash_type.width} bytes, got {size}; a hash in hexadecimal is a string"
    return f"expected a string or bytes, got {type(item).__name__}"
