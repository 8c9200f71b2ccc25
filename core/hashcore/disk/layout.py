"""The keys of the data file, and the records under them.

    format            the version of this layout
    current           the number of the published generation, u64 little-endian
    id                16 random bytes that tell this store from others
    next              the last object number that was reserved, u64 little-endian
    g<generation>     a manifest (JSON): the sets of a generation, and what change made it
    s<object>         a segment header (JSON): immutable once published
    f<object>         a filter header (JSON)
    p<object><column>/<piece>   the bytes of one piece of one column

Numbers in keys are big-endian, so that keys sort like the numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from hashcore.arrays.columns import Column
from hashcore.errors import FormatMismatch, StoreCorrupt, UnknownSet

FORMAT = 2
_Record = TypeVar("_Record")
KEY_FORMAT, KEY_CURRENT, KEY_NEXT, KEY_ID = b"format", b"current", b"next", b"id"
ID_BYTES = 16


def manifest_key(generation: int) -> bytes:
    """The key of a generation's manifest: "g" and 8 bytes."""
    return b"g" + generation.to_bytes(8, "big")


def segment_key(number: int) -> bytes:
    """The key of a segment's header: "s" and 8 bytes."""
    return b"s" + number.to_bytes(8, "big")


def filter_key(number: int) -> bytes:
    """The key of a filter's header: "f" and 8 bytes."""
    return b"f" + number.to_bytes(8, "big")


def piece_key(number: int, column: str, piece: int) -> bytes:
    """The key of one piece of an object's column, numbered from 0."""
    return b"p" + number.to_bytes(8, "big") + column.encode() + b"/" + piece.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """The shape of a stored column.

    Args:
        width: bytes in an item.
        items: how many items the column has.
        shift: log2 of the items in a piece; the last piece may be shorter.
        checksums: the XXH64 of each piece, with seed 0.
    """

    width: int
    items: int
    shift: int
    checksums: list[int]


@dataclass(frozen=True, slots=True)
class Label:
    """What many rows of a segment share: a category, and when they were added, in Unix seconds."""

    category: str | None
    added: float


@dataclass(frozen=True, slots=True)
class Segment:
    """The header of a segment: rows that have the same hash types, sorted by the first of them.

    Args:
        number: its object number.
        types: the hash types that every row has; the first is the primary one.
        rows: how many rows it has.
        labels: the distinct labels; column "label" has the number of each row's label, and is
            absent if there is only one.
        label_rows: how many rows have each label.
        directory_bits: leading bits of the directory of each exact type (column "directory.TYPE").
        columns: stored columns by name: each type's digests under its name, "order.TYPE" for exact
            types other than the primary, "id_offsets" and "id_data" where rows have external ids,
            and "index.TYPE.C" and "postings.TYPE.C" for chunk C of a perceptual index.
        chunks: how many chunks the index of each perceptual type has; types that are scanned are
            left out.
    """

    number: int
    types: list[str]
    rows: int
    labels: list[Label]
    label_rows: list[int]
    directory_bits: dict[str, int]
    columns: dict[str, ColumnSpec]
    chunks: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write it as the JSON that the store holds."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Segment:
        """Read the header of a segment from the JSON that the store holds."""
        fields = json.loads(data)
        fields["labels"] = [Label(**label) for label in fields["labels"]]
        fields["columns"] = {name: ColumnSpec(**spec) for name, spec in fields["columns"].items()}
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Filter:
    """The header of a filter over the digests of one exact type in all sets that report matches.

    It lets at least the digests of the segments pass; those that have left a set may still pass for
    a while. Only the filters of the current generation are kept, so a publish may replace pieces of
    a filter in its commit: readers of the previous generation still see the old pages.

    Args:
        words: its only column, "words".
        segments: object numbers of the segments whose digests are in it.
        digests: how many digests were put into it, those included that have left since.
    """

    words: ColumnSpec
    segments: list[int]
    digests: int

    def to_json(self) -> bytes:
        """Write it as the JSON that the store holds."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Filter:
        """Read the header of a filter from the JSON that the store holds."""
        fields = json.loads(data)
        return cls(ColumnSpec(**fields["words"]), fields["segments"], fields["digests"])


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The withdrawn rows of a segment.

    Args:
        segment: the object number of the segment.
        number: the object number of the tombstones themselves.
        rows: their column "dead": row numbers, uint32, ascending.
    """

    segment: int
    number: int
    rows: ColumnSpec

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Tombstones:
        """Read it from parsed JSON."""
        return cls(fields["segment"], fields["number"], ColumnSpec(**fields["rows"]))


@dataclass(frozen=True, slots=True)
class HashSet:
    """A hash set as a generation sees it.

    Args:
        name: the name of the set.
        role: "match" or "known-good".
        segments: object numbers of its segments.
        counts: how many hashes it has of each type, without withdrawn ones.
        entries: how many entries it has, without withdrawn ones.
        loaded: when it last changed, in Unix seconds.
        added, removed: how many entries its last change added and removed.
        distances: by perceptual type, the distance within which its entries match unless a request
            says otherwise; other types use their own default.
        tombstones: the withdrawn rows of those of its segments that have any.
    """

    name: str
    role: str
    segments: list[int]
    counts: dict[str, int]
    entries: int
    loaded: float
    added: int
    removed: int
    distances: dict[str, int] = field(default_factory=dict)
    tombstones: list[Tombstones] = field(default_factory=list)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> HashSet:
        """Read it from parsed JSON."""
        tombstones = [Tombstones.from_fields(each) for each in fields.pop("tombstones", [])]
        return cls(**fields, tombstones=tombstones)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A published generation.

    Args:
        generation: its number.
        created: when it was published, in Unix seconds.
        action: the change that made it, such as "load police".
        sets: its sets by name.
        filters: object numbers of the filters by exact hash type.
    """

    generation: int
    created: float
    action: str
    sets: dict[str, HashSet] = field(default_factory=dict)
    filters: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write it as the JSON that the store holds."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest from the JSON that the store holds."""
        fields = json.loads(data)
        fields["sets"] = {name: HashSet.from_fields(entry) for name, entry in fields["sets"].items()}
        return cls(**fields)

    def fingerprint(self) -> bytes:
        """What tells a generation from any other, of any store: 16 bytes.

        Numbers of generations are not enough: a store that was put back to an earlier state uses
        them again. Filters are left out, as they follow from the segments.
        """
        fields = asdict(self)
        del fields["filters"]
        return hashlib.blake2b(json.dumps(fields, sort_keys=True).encode(), digest_size=16).digest()

    def object_numbers(self) -> set[int]:
        """The object numbers of all segments and tombstones of all sets."""
        segments = {number for entry in self.sets.values() for number in entry.segments}
        return segments | {each.number for entry in self.sets.values() for each in entry.tombstones}


def get_set(manifest: Manifest, name: str) -> HashSet:
    """Look up a set of a generation by name.

    Raises:
        UnknownSet: no set has that name; the message lists those that exist.
    """
    if name not in manifest.sets:
        known = ", ".join(sorted(manifest.sets)) or "none"
        raise UnknownSet(f"no set named {name!r}; sets in generation {manifest.generation}: {known}")
    return manifest.sets[name]


def check_format(transaction: Any) -> None:
    """Refuse a store that was written in another format.

    Raises:
        FormatMismatch: the message names both versions.
    """
    stored = transaction.get(KEY_FORMAT)
    if stored is not None and bytes(stored) != str(FORMAT).encode():
        written = bytes(stored[:20]).decode("ascii", "replace")
        raise FormatMismatch(
            f"the store has on-disk format {written}, this program reads format {FORMAT}; "
            "use the program version that wrote it, or load the sets into a new data folder"
        )


def _parse(parse: Callable[[bytes], _Record], stored: Any, what: str) -> _Record:
    try:
        return parse(bytes(stored))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreCorrupt(f"the {what} cannot be read: {error!r}") from error


def read_number(transaction: Any, key: bytes) -> int:
    """Read a counter; 0 if it was never written."""
    stored = transaction.get(key)
    return 0 if stored is None else int.from_bytes(stored, "little")


def read_manifest(transaction: Any, generation: int) -> Manifest | None:
    """Read the manifest of a generation; None if it is not kept. Generation 0 is the empty store.

    Raises:
        StoreCorrupt: the manifest is damaged.
    """
    if generation == 0:
        return Manifest(0, 0.0, "empty")
    stored = transaction.get(manifest_key(generation)) if 0 < generation < 1 << 64 else None
    return None if stored is None else _parse(Manifest.from_json, stored, f"manifest of generation {generation}")


def read_id(transaction: Any) -> str:
    """Read what tells the store from others, in hexadecimal; empty before the first publication."""
    stored = transaction.get(KEY_ID)
    return "" if stored is None else bytes(stored).hex()


def read_generation(transaction: Any) -> int:
    """Read the number of the published generation; 0 if nothing was ever published."""
    return read_number(transaction, KEY_CURRENT)


def read_current(transaction: Any) -> Manifest:
    """Read the manifest of the published generation.

    Raises:
        FormatMismatch: the store was written in another format.
        StoreCorrupt: the manifest is missing or damaged.
    """
    check_format(transaction)
    generation = read_generation(transaction)
    manifest = read_manifest(transaction, generation)
    if manifest is None:
        raise StoreCorrupt(f"the manifest of the current generation {generation} is missing")
    return manifest


def read_manifests(transaction: Any) -> Iterator[Manifest]:
    """Read all manifests that are kept, oldest first; raises StoreCorrupt at a damaged one."""
    for key, value in _scan(transaction, b"g"):
        number = int.from_bytes(key[1:], "big")
        yield _parse(Manifest.from_json, value, f"manifest of generation {number}")


def manifest_numbers(transaction: Any) -> list[int]:
    """The numbers of the generations that are kept, ascending, even of damaged manifests."""
    return [int.from_bytes(key[1:], "big") for key, _ in _scan(transaction, b"g")]


def read_segment(transaction: Any, number: int) -> Segment:
    """Read the header of a segment; raises StoreCorrupt if it is missing or damaged."""
    stored = transaction.get(segment_key(number))
    if stored is None:
        raise StoreCorrupt(f"segment {number} is missing from the store")
    return _parse(Segment.from_json, stored, f"header of segment {number}")


def read_filter(transaction: Any, number: int) -> Filter:
    """Read the header of a filter; raises StoreCorrupt if it is missing or damaged."""
    stored = transaction.get(filter_key(number))
    if stored is None:
        raise StoreCorrupt(f"filter {number} is missing from the store")
    return _parse(Filter.from_json, stored, f"header of filter {number}")


def open_column(transaction: Any, number: int, name: str, spec: ColumnSpec) -> Column:
    """Find the pieces of a stored column; it is valid as long as the transaction is open.

    Raises:
        StoreCorrupt: a piece is missing or has the wrong size.
    """
    bases = np.zeros(len(spec.checksums), np.uint64)
    for piece in range(len(spec.checksums)):
        stored = transaction.get(piece_key(number, name, piece))
        expected = min(spec.items - (piece << spec.shift), 1 << spec.shift) * spec.width
        if stored is None or len(stored) != expected:
            raise StoreCorrupt(f"piece {piece} of column {name} of object {number} is missing or cut short")
        bases[piece] = np.frombuffer(stored, np.uint8).ctypes.data
    return Column(bases, spec.shift, spec.items, spec.width, transaction)


def objects(transaction: Any) -> Iterator[int]:
    """The numbers of all objects that have pieces, ascending."""
    with transaction.cursor() as cursor:
        at = b"p"
        while cursor.set_range(at):
            key = bytes(cursor.key())
            if not key.startswith(b"p"):
                return
            number = int.from_bytes(key[1:9], "big")
            yield number
            at = b"p" + (number + 1).to_bytes(8, "big")


def object_bytes(transaction: Any, number: int) -> int:
    """Bytes of all pieces of an object."""
    return sum(len(piece) for _, piece in _scan(transaction, b"p" + number.to_bytes(8, "big")))


def delete_object(transaction: Any, number: int) -> None:
    """Delete an object: its header, if it has one, and its pieces."""
    transaction.delete(segment_key(number))
    transaction.delete(filter_key(number))
    prefix = b"p" + number.to_bytes(8, "big")
    for key in [bytes(key) for key, _ in _scan(transaction, prefix)]:
        transaction.delete(key)


def _scan(transaction: Any, prefix: bytes) -> Iterator[tuple[Any, Any]]:
    with transaction.cursor() as cursor:
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            yield key, value
