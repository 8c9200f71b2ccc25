"""Whatever is damaged in a store, verifying it says what and where."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from hashcore import Categories, HashColumn, Limits, LoadOptions, Rows, Store, Strings
from hashcore import hash_type as look_up
from hashcore.arrays.xxh64 import checksum
from hashcore.disk.layout import KEY_CURRENT, KEY_NEXT, Manifest, Segment, manifest_key, piece_key, segment_key
from hashcore.errors import StoreError
from hashcore.near.nearest import FEWEST_INDEXED
from hashcore.verifying.verify import verify_copy

ROWS = 6000
NEAR_ROWS = FEWEST_INDEXED


def _rows(seed: int, rows: int, *hash_types: str, prefix: str = "") -> Rows:
    random = np.random.default_rng(seed)
    columns = {
        hash_type: HashColumn(random.integers(0, 256, (rows, look_up(hash_type).width), np.uint8))
        for hash_type in hash_types
    }
    categories = Categories(random.integers(0, 3, rows).astype(np.int32), ["a", "b", "c"])
    ids = Strings.of([f"{prefix}{row}".encode() for row in range(rows)])
    return Rows(np.arange(1, rows + 1), columns, categories, ids)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every kind of column in it; nothing in it is to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    with Store(folder, limits=Limits(piece_bytes=1 << 14, keep_generations=4)) as store:
        store.load("exact", [_rows(1, ROWS, "md5", "sha1")], now=1.0)
        store.load("near", [_rows(2, NEAR_ROWS, "pdq")], now=2.0)
        store.load("shape", [_rows(3, 200, "photodna")], now=3.0)
        store.load("small", [_rows(4, 300, "phash")], now=3.2)
        store.load("good", [_rows(5, 100, "sha256")], LoadOptions(role="known-good"), now=3.5)
        store.load("exact", [_rows(6, 50, "md5", "sha1", prefix="n")], LoadOptions(append=True), now=4.0)
        store.withdraw("exact", ["17", "4711"], now=5.0)
    return folder


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copy(sound / "data.mdb", tmp_path)
    return tmp_path


def problems_of(folder: Path) -> list[str]:
    problems: list[str] = []
    assert verify_copy(folder, problems.append).problems == len(problems)
    return problems


def change(folder: Path, apply: Callable[[Any], None]) -> None:
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        apply(transaction)


def segments_of(folder: Path) -> dict[str, Segment]:
    """The largest segment of every set."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        current = int.from_bytes(transaction.get(KEY_CURRENT), "little")
        manifest = Manifest.from_json(transaction.get(manifest_key(current)))
        found = {}
        for name, entry in manifest.sets.items():
            headers = [Segment.from_json(transaction.get(segment_key(number))) for number in entry.segments]
            found[name] = max(headers, key=lambda header: header.rows)
        return found


def manifest_of(folder: Path) -> Manifest:
    with Store(folder) as store, store.read() as snapshot:
        return snapshot.manifest


def test_a_sound_store_has_no_problems_and_says_what_is_in_it(sound: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    problems: list[str] = []
    before = {each.name for each in sound.iterdir()}
    with Store(sound) as store:
        found = store.verify(problems.append, lambda *at: progress.append(at))
    assert problems == []
    assert (found.generation, found.generations, found.tombstones, found.filters) == (7, 5, 1, 2)
    assert found.bytes == progress[-1][0] == progress[-1][1] > NEAR_ROWS * 32
    assert found.pieces == len(progress)
    (tmp_path / "copy").mkdir()
    shutil.copy(sound / "data.mdb", tmp_path / "copy")
    assert verify_copy(tmp_path / "copy", problems.append) == found
    assert [each.name for each in (tmp_path / "copy").iterdir()] == ["data.mdb"], "it leaves no lock file"
    assert {each.name for each in sound.iterdir()} == before
    assert {"index.pdq.0", "postings.pdq.0"} <= segments_of(sound)["near"].columns.keys()


def test_an_empty_store_is_sound_and_an_empty_folder_is_none(tmp_path: Path) -> None:
    Store(tmp_path / "empty").close()
    assert problems_of(tmp_path / "empty") == []
    with pytest.raises(StoreError, match=r"there is no data\.mdb in"):
        problems_of(tmp_path)


def test_one_changed_bit_in_any_piece_of_any_column_is_found_and_named(sound: Path, damaged: Path) -> None:
    places = []
    with (
        lmdb.open(str(damaged), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
        transaction.cursor() as cursor,
    ):
        assert cursor.set_range(b"p")
        keys = [bytes(key) for key in cursor.iternext(keys=True, values=False)]
    first_of: dict[bytes, bytes] = {}
    for key in keys:
        if key.startswith(b"p"):
            first_of.setdefault(key[:-5], key)
    live = {segment.number for segment in segments_of(damaged).values()}
    columns: set[str] = set()
    for key in first_of.values():
        column, number = key[9:-5].decode(), int.from_bytes(key[1:9], "big")
        if column.startswith(("index.", "postings.")) and not column.endswith(".0"):
            continue
        if number in live or column in ("words", "dead"):
            columns.add(column)
            places.append((key, column, number))
    assert {
        "md5",
        "sha1",
        "order.sha1",
        "directory.md5",
        "label",
        "id_data",
        "id_offsets",
        "dead",
        "words",
    } <= columns
    assert {"pdq", "postings.pdq.0", "index.pdq.0", "photodna", "phash", "sha256"} <= columns
    for key, column, number in places:
        _damage_piece(damaged, key, lambda piece: piece[:-1] + bytes([piece[-1] ^ 1]))
        told = problems_of(damaged)
        assert len(told) == 1, told
        assert told[0].startswith(f"piece 0 of column {column} of ")
        assert told[0].endswith(f" {number} does not match its checksum")
        _damage_piece(damaged, key, lambda piece: piece[:-1] + bytes([piece[-1] ^ 1]))
    assert problems_of(damaged) == []


def _damage_piece(folder: Path, key: bytes, damage: Callable[[bytes], bytes]) -> None:
    change(folder, lambda transaction: transaction.put(key, damage(bytes(transaction.get(key)))))


def test_missing_and_truncated_pieces_are_named(damaged: Path) -> None:
    number = segments_of(damaged)["exact"].number
    change(damaged, lambda transaction: transaction.delete(piece_key(number, "md5", 1)))
    _damage_piece(damaged, piece_key(number, "md5", 2), lambda piece: piece[:100])
    assert problems_of(damaged) == [
        f"piece 1 of column md5 of segment {number} is missing",
        f"piece 2 of column md5 of segment {number} has 100 bytes instead of 16,384",
    ]


def test_missing_headers_are_named_and_the_rest_is_still_verified(damaged: Path) -> None:
    number = segments_of(damaged)["exact"].number
    filter_number = manifest_of(damaged).filters["md5"]
    change(damaged, lambda transaction: transaction.delete(segment_key(number)))
    change(damaged, lambda transaction: transaction.put(b"f" + filter_number.to_bytes(8, "big"), b"{"))
    near = segments_of_set(damaged, "near")
    _damage_piece(damaged, piece_key(near, "pdq", 0), lambda piece: bytes(len(piece)))
    told = problems_of(damaged)
    assert f"segment {number} is missing from the store" in told
    assert any(each.startswith(f"the header of filter {filter_number} cannot be read") for each in told)
    assert f"piece 0 of column pdq of segment {near} does not match its checksum" in told


def segments_of_set(folder: Path, name: str) -> int:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        current = int.from_bytes(transaction.get(KEY_CURRENT), "little")
        return Manifest.from_json(transaction.get(manifest_key(current))).sets[name].segments[0]


def test_manifests_that_are_missing_unreadable_or_of_another_generation_are_named(damaged: Path) -> None:
    change(damaged, lambda transaction: transaction.put(manifest_key(5), b"not JSON"))
    change(damaged, lambda transaction: transaction.put(manifest_key(4), transaction.get(manifest_key(6))))
    change(damaged, lambda transaction: transaction.delete(manifest_key(7)))
    told = problems_of(damaged)
    assert told[0] == "the manifest of the current generation 7 is missing"
    assert told[1] == "the manifest of generation 4 says that it is of generation 6"
    assert told[2].startswith("the manifest of generation 5 cannot be read")
    assert len(told) == 3


def test_an_object_number_that_could_be_given_twice_is_told(damaged: Path) -> None:
    change(damaged, lambda transaction: transaction.put(KEY_NEXT, (3).to_bytes(8, "little")))
    assert [each for each in problems_of(damaged) if "could overwrite it" in each]


def rewrite(folder: Path, segment: Segment, name: str, edit: Callable[[Any], None]) -> None:
    """Change a column and its checksums, as an error in the program would."""
    spec = segment.columns[name]
    dtype = np.uint8 if spec.width not in (4, 8) or name in ("md5", "sha1", "pdq") else np.dtype(f"<u{spec.width}")

    def apply(transaction: Any) -> None:
        pieces = [transaction.get(piece_key(segment.number, name, piece)) for piece in range(len(spec.checksums))]
        items = np.frombuffer(b"".join(pieces), np.uint8).copy()
        shaped = items.view(dtype)
        edit(shaped if dtype != np.uint8 else items.reshape(-1, spec.width))
        size = spec.width << spec.shift
        cut = [items[start : start + size] for start in range(0, len(items), size)]
        for piece, content in enumerate(cut):
            transaction.put(piece_key(segment.number, name, piece), content.tobytes())
        columns = {**segment.columns, name: replace(spec, checksums=[checksum(piece) for piece in cut])}
        transaction.put(segment_key(segment.number), replace(segment, columns=columns).to_json())

    change(folder, apply)


def swap(one: int, other: int) -> Callable[[Any], None]:
    def edit(items: Any) -> None:
        items[[one, other]] = items[[other, one]]

    return edit


def put(at: int, value: int) -> Callable[[Any], None]:
    def edit(items: Any) -> None:
        items[at] = value

    return edit


@pytest.mark.parametrize(
    ("name", "column", "edit", "told"),
    [
        ("exact", "md5", swap(3000, 3001), "column md5 of segment N is not ascending at row 3,001"),
        ("exact", "order.sha1", swap(70, 71), "column order.sha1 of segment N does not list all rows in order"),
        ("exact", "order.sha1", put(70, 4_000_000_000), "column order.sha1 of segment N does not list"),
        ("exact", "directory.md5", put(5, 4_000_000_000), "column directory.md5 of segment N does not lead to"),
        ("exact", "directory.sha1", put(-1, 5999), "column directory.sha1 of segment N"),
        ("exact", "label", put(5, 200), "column label of segment N has an unknown label at row 5"),
        ("exact", "label", put(slice(0, 100), 0), "column label of segment N counts the rows of each label"),
        ("exact", "id_offsets", put(900, 1), "column id_offsets of segment N decreases at row 900"),
        ("exact", "id_offsets", put(-1, 99_999_999), "column id_offsets of segment N goes from 0 to 99,999,999"),
        ("near", "postings.pdq.0", put(8, 4_000_000_000), "column postings.pdq.0 of segment N does not"),
        ("near", "postings.pdq.0", swap(0, NEAR_ROWS - 1), "column postings.pdq.0 of segment N does not"),
        ("near", "index.pdq.0", put(-1, 7), "column index.pdq.0 of segment N decreases at slot"),
        ("near", "pdq", swap(0, 1), "column pdq of segment N is not ascending at row 1"),
    ],
)  # fmt: skip
def test_columns_that_break_a_rule_are_named_though_their_checksums_are_right(
    damaged: Path, name: str, column: str, edit: Callable[[Any], None], told: str
) -> None:
    segment = segments_of(damaged)[name]
    rewrite(damaged, segment, column, edit)
    problems = problems_of(damaged)
    assert problems
    assert any(each.startswith(told.replace("N", str(segment.number))) for each in problems), problems


def test_a_filter_that_hides_hashes_is_found(damaged: Path) -> None:
    number = manifest_of(damaged).filters["sha1"]
    segment = segments_of(damaged)["exact"].number
    key = b"f" + number.to_bytes(8, "big")

    def apply(transaction: Any) -> None:
        header = json.loads(transaction.get(key))
        piece = bytearray(transaction.get(piece_key(number, "words", 0)))
        piece[:8] = bytes(8)
        header["words"]["checksums"][0] = checksum(np.frombuffer(bytes(piece), np.uint8))
        transaction.put(piece_key(number, "words", 0), bytes(piece))
        transaction.put(key, json.dumps(header).encode())

    change(damaged, apply)
    told = problems_of(damaged)
    assert told
    assert told[0].startswith(f"filter {number} hides ")
    assert told[0].endswith(f" sha1 hashes of segment {segment}, so checks miss them")


def test_counts_that_do_not_add_up_are_named(damaged: Path) -> None:
    manifest = manifest_of(damaged)
    entry = replace(manifest.sets["exact"], entries=5, counts={"md5": 5, "sha1": 6048})
    good = replace(manifest.sets["good"], role="neutral")
    wrong = replace(manifest, sets={**manifest.sets, "exact": entry, "good": good}, filters={})
    change(damaged, lambda transaction: transaction.put(manifest_key(7), wrong.to_json()))
    assert problems_of(damaged) == [
        "generation 7 has no filter for the md5 hashes of set 'exact'",
        "generation 7 has no filter for the sha1 hashes of set 'exact'",
        "set 'exact' of generation 7 says that it has 5 entries, but has 6,048",
        "set 'exact' of generation 7 counts its hashes differently from its segments",
        "set 'good' of generation 7 has the unknown role 'neutral'",
    ]


def test_tombstones_out_of_range_are_named(damaged: Path) -> None:
    manifest = manifest_of(damaged)
    (old,) = manifest.sets["exact"].tombstones
    rows = np.array([3, 1_000_000], "<u4")
    spec = replace(old.rows, checksums=[checksum(rows.view(np.uint8))])
    entry = replace(manifest.sets["exact"], tombstones=[replace(old, rows=spec)])
    wrong = replace(manifest, sets={**manifest.sets, "exact": entry})

    def apply(transaction: Any) -> None:
        transaction.put(piece_key(old.number, "dead", 0), rows.tobytes())
        transaction.put(manifest_key(7), wrong.to_json())

    change(damaged, apply)
    told = problems_of(damaged)
    assert len(told) == 1
    assert told[0].startswith(
        f"column dead of tombstones {old.number} names row 1,000,000 of segment {old.segment}"
    )


def test_verifying_says_nothing_of_what_a_running_load_has_staged(tmp_path: Path) -> None:
    with Store(tmp_path, limits=Limits(piece_bytes=1 << 12)) as store:
        store.load("known", [_rows(1, 500, "md5")], now=1.0)
        change_after: list[str] = []

        def blocks() -> Any:
            yield _rows(2, 500, "md5")
            store.verify(change_after.append)

        store.load("known", blocks(), now=2.0)
        store.verify(change_after.append)
        assert change_after == []


def test_a_million_hashes_are_verified_in_a_moment(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        known = np.random.default_rng(9).integers(0, 256, (1_000_000, 16), np.uint8)
        store.load("known", [Rows(np.arange(1_000_000), {"md5": HashColumn(known)})], now=1.0)
        store.verify(pytest.fail)
        started = time.process_time()
        assert store.verify(pytest.fail).bytes > 16_000_000
        assert time.process_time() - started < 2.0
