"""PhotoDNA in a store matches like in a plain model: loaded, published and rolled back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hamming_model import Codes
from numpy.typing import NDArray

from hashcore import HASH_TYPES, BadDistance, HashColumn, LoadOptions, Rows, Store, Strings
from hashcore import hash_type as look_up
from hashcore.near import nearest as nearest_module

PHOTODNA = look_up("photodna")
Found = list[tuple[int, int, str, str | None]]


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    with Store(tmp_path / "data") as opened:
        yield opened


def make_codes(n: int, seed: int) -> Codes:
    """Unlike one another, and small for the most part, as sums of gradients are."""
    return np.minimum(255, np.random.default_rng(seed).exponential(45, (n, 144))).astype(np.uint8)


def moved(codes: Codes, by: int) -> Codes:
    """Each code at this distance: its first component moved."""
    there = codes.copy()
    there[:, 0] = np.where(codes[:, 0] >= 128, codes[:, 0].astype(int) - by, codes[:, 0].astype(int) + by)
    return there


def rows(ids: bool = False, **columns: Codes) -> Rows:
    n = len(next(iter(columns.values())))
    names = Strings.of([b"id-%d" % number for number in range(n)]) if ids else None
    return Rows(
        np.arange(n), {hash_type: HashColumn(digests) for hash_type, digests in columns.items()}, ids=names
    )


def distances(queries: Codes, codes: Codes) -> NDArray[np.int64]:
    """The obvious way: int[queries, codes]."""
    differences = queries[:, None, :].astype(np.int64) - codes[None, :, :]
    return np.ceil(np.sqrt((differences**2).sum(axis=2))).astype(np.int64)


def found(store: Store, queries: Codes, hash_type: str = "photodna", **options: int) -> Found:
    with store.read() as snapshot:
        matches = snapshot.match(look_up(hash_type), queries, **options)
        entries = [(entry.set, entry.id) for entry in snapshot.entries(matches)]
        pairs = zip(matches.queries.tolist(), matches.distances.tolist(), entries, strict=True)
        return [(query, distance, *entry) for query, distance, entry in pairs]


@pytest.mark.parametrize("size", [0, 1, 2, 300, 5000])
def test_every_entry_within_the_distance_is_found(store: Store, size: int) -> None:
    codes = make_codes(size, 1)
    crowd = np.clip(make_codes(1, 2).astype(int) + np.random.default_rng(3).integers(0, 25, (60, 144)), 0, 255)
    sets = {"large": codes, "crowd": np.unique(crowd.astype(np.uint8), axis=0)}
    for title, codes_of_set in sets.items():
        store.load(title, [rows(ids=True, photodna=codes_of_set)], now=0.0)
    queries = np.concatenate([moved(codes[:10], 90), sets["crowd"][:10], make_codes(5, 4)])
    for radius in (0, 89, 90, 120, 200, 255):
        model = []
        for name, codes_of_set in sets.items():
            table = distances(queries, codes_of_set)
            for query, row in zip(*np.nonzero(table <= radius), strict=True):
                model.append((int(query), int(table[query, row]), name, f"id-{row}"))
        assert sorted(found(store, queries, max_distance=radius, most=10**6)) == sorted(model)
        single = found(store, queries[3:4], max_distance=radius, most=10**6)
        assert sorted(single) == sorted((0, *match[1:]) for match in model if match[0] == 3)


def test_hashes_that_begin_alike_are_sorted_and_loaded_like_others(store: Store) -> None:
    """Many start with the same eight bytes, which are the only ones that are sorted by first."""
    codes = make_codes(20_000, 5)
    codes[:, :16] = 0
    codes = np.unique(codes, axis=0)
    outcome = store.load("known", [rows(ids=True, photodna=codes[::-1].copy())], now=0.0)
    assert outcome.entries == len(codes)
    again = store.load("known", [rows(ids=True, photodna=codes[::-1].copy())], LoadOptions(append=True), now=1.0)
    assert again.tally.added == 0
    assert [match[:2] for match in found(store, codes[:40], max_distance=0)] == [(n, 0) for n in range(40)]


def test_matches_come_nearest_first_and_the_cap_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "_MOST_HITS", 1000)
    centre = np.full((1, 144), 100, np.uint8)
    random = np.random.default_rng(6)
    codes = (100 + random.integers(-9, 10, (400, 144))).astype(np.uint8)
    store.load("known", [rows(photodna=codes)], now=0.0)
    queries = np.repeat(centre, 40, axis=0)
    queries[:, 0] = np.arange(40) + 80
    with store.read() as snapshot:
        matches = snapshot.match(PHOTODNA, queries, most=5)
    assert matches.truncated == frozenset(range(40))
    assert matches.distances.reshape(40, 5).tolist() == np.sort(distances(queries, codes), axis=1)[:, :5].tolist()


def test_each_set_has_its_own_default_distance(store: Store) -> None:
    code = make_codes(1, 7)
    near = moved(code, 100)
    store.load("exact", [rows(photodna=code)], LoadOptions(distances={"photodna": 0}), now=0.0)
    store.load("strict", [rows(photodna=code)], LoadOptions(distances={"photodna": 99}), now=0.0)
    store.load("usual", [rows(photodna=code)], now=0.0)
    assert [match[2] for match in found(store, near)] == ["usual"]
    assert [match[2] for match in found(store, code)] == ["exact", "strict", "usual"]
    assert [match[2] for match in found(store, near, max_distance=100)] == ["exact", "strict", "usual"]
    assert found(store, near, max_distance=99) == []


@pytest.mark.parametrize("distance", [-1, 256])
def test_a_distance_that_there_is_not_is_refused(store: Store, distance: int) -> None:
    with store.read() as snapshot, pytest.raises(BadDistance, match="photodna must be from 0 to 255"):
        snapshot.match(PHOTODNA, np.zeros((1, 144), np.uint8), max_distance=distance)
    with pytest.raises(BadDistance, match="photodna"):
        store.load("x", [], LoadOptions(distances={"photodna": distance}), now=0.0)


def test_sets_are_appended_to_rolled_back_and_removed_like_others(store: Store) -> None:
    codes = make_codes(500, 8)
    generation = store.load("known", [rows(photodna=codes[:100])], now=0.0).generation
    for start in range(100, 500, 50):
        store.load("known", [rows(photodna=codes[start : start + 50])], LoadOptions(append=True), now=1.0)
    assert len(store.history()[-1].sets["known"].segments) <= 4
    assert [match[0] for match in found(store, codes, max_distance=0)] == list(range(500))
    store.rollback(generation, now=2.0)
    assert [match[0] for match in found(store, codes, max_distance=0)] == list(range(100))
    store.remove("known", now=3.0)
    assert found(store, codes) == []


def test_a_known_good_picture_nearer_than_the_match_wins(store: Store) -> None:
    query = make_codes(1, 9)
    illegal, good = moved(query, 60), moved(query, 30)
    store.load("known", [rows(photodna=illegal)], now=0.0)
    assert len(found(store, query)) == 1
    store.load("good", [rows(photodna=good)], LoadOptions(role="known-good"), now=0.0)
    assert found(store, query) == []
    assert len(found(store, illegal)) == 1, "the illegal picture itself is nearer to itself"


def test_an_entry_with_hashes_of_all_types_is_found_by_each_and_suppressed_by_each(store: Store) -> None:
    random = np.random.default_rng(10)
    columns = {
        name: make_codes(50, 11)
        if name == "photodna"
        else random.integers(0, 256, (50, hash_type.width), np.uint8)
        for name, hash_type in HASH_TYPES.items()
    }
    assert store.load("known", [rows(ids=True, **columns)], now=0.0).entries == 50
    for name, digests in columns.items():
        exact = [match for match in found(store, digests, name) if match[1] == 0]
        assert [match[3] for match in exact] == [f"id-{number}" for number in range(50)]
    store.load("good", [rows(photodna=columns["photodna"][1:2])], LoadOptions(role="known-good"), now=1.0)
    store.load("good-md5", [rows(md5=columns["md5"][2:3])], LoadOptions(role="known-good"), now=1.0)
    for name, digests in columns.items():
        left = [match[3] for match in found(store, digests[:4], name) if match[1] == 0]
        assert left == ["id-0", "id-3"]


def test_blank_pictures_do_not_get_into_a_match_set(store: Store) -> None:
    rejects: list[str] = []
    blank = np.zeros((1, 144), np.uint8)
    store.load("known", [rows(photodna=blank)], now=0.0, on_reject=lambda reject: rejects.append(reject.reason))
    assert rejects == ["the photodna of a blank picture: it is everywhere and harmless"]
    assert found(store, blank) == []
