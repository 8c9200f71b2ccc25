"""Near-duplicates in a store match like in a plain model: loaded, published and rolled back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hamming_model import flip_bits, half_set, make_codes
from numpy.typing import NDArray

from hashcore import BadDistance, Categories, HashColumn, LoadOptions, Rows, Store, Strings
from hashcore import hash_type as look_up
from hashcore.near import nearest as nearest_module

PDQ, PHASH, MD5 = look_up("pdq"), look_up("phash"), look_up("md5")
Codes = NDArray[np.uint8]


def rows(ids: bool = False, **columns: Codes) -> Rows:
    n = len(next(iter(columns.values())))
    names = Strings.of([b"id-%d" % number for number in range(n)]) if ids else None
    return Rows(
        np.arange(n), {hash_type: HashColumn(digests) for hash_type, digests in columns.items()}, ids=names
    )


def distances(queries: Codes, codes: Codes) -> NDArray[np.int64]:
    """The obvious way: int[queries, codes]."""
    return np.bitwise_count(queries[:, None, :] ^ codes[None, :, :]).sum(axis=2, dtype=np.int64)


def found(store: Store, hash_type: str, queries: Codes, **options: int) -> list[tuple[int, int, str, str | None]]:
    with store.read() as snapshot:
        matches = snapshot.match(look_up(hash_type), queries, **options)
        entries = [(entry.set, entry.id) for entry in snapshot.entries(matches)]
        pairs = zip(matches.queries.tolist(), matches.distances.tolist(), entries, strict=True)
        return [(query, distance, *entry) for query, distance, entry in pairs]


def expected(queries: Codes, sets: dict[str, Codes], radius: int) -> Iterable[tuple[int, int, str, str]]:
    for name, codes in sets.items():
        table = distances(queries, codes)
        for query, row in zip(*np.nonzero(table <= radius), strict=True):
            yield int(query), int(table[query, row]), name, f"id-{row}"


@pytest.fixture
def store(tmp_path: Path) -> Iterable[Store]:
    with Store(tmp_path / "data") as opened:
        yield opened


@pytest.mark.parametrize("kind", ["random", "clustered", "correlated", "half set"])
@pytest.mark.parametrize(("name", "radii"), [("pdq", (0, 20, 31, 48, 64)), ("phash", (0, 8, 16))])
@pytest.mark.parametrize("size", [0, 1, 2, 700, 60_000])
def test_every_entry_within_the_distance_is_found(
    store: Store, kind: str, name: str, radii: tuple[int, ...], size: int
) -> None:
    """60,000 hashes are enough for an index; the others are scanned."""
    width = look_up(name).width
    random = np.random.default_rng(5)
    large = np.unique(make_codes(kind, size, width, random), axis=0) if size else np.empty((0, width), np.uint8)
    small = make_codes(kind, 40, width, random)
    queries = np.concatenate([flip_bits(large[:20], 24 if width == 32 else 7, random), small[:10], large[-1:]])
    sets = {"large": large, "small": np.unique(small, axis=0)}
    for title, codes in sets.items():
        store.load(title, [rows(ids=True, **{name: codes})], now=0.0)
    for radius in radii:
        model = sorted(expected(queries, sets, radius))
        assert sorted(found(store, name, queries, max_distance=radius, most=10**6)) == model
    indexed = any(
        segment.header.chunks
        for segment in store._held.snapshot._segments  # type: ignore[union-attr]
    )
    assert indexed == (len(large) >= nearest_module.FEWEST_INDEXED)


def test_matches_come_nearest_first_and_the_cap_says_so(store: Store) -> None:
    random = np.random.default_rng(1)
    centre = half_set(1, 32, random)
    codes = np.unique(flip_bits(np.repeat(centre, 300, axis=0), 30, random), axis=0)
    store.load("known", [rows(ids=True, pdq=codes)], now=0.0)
    with store.read() as snapshot:
        everything = snapshot.match(PDQ, centre)
        capped = snapshot.match(PDQ, centre, most=7)
    assert np.all(np.diff(everything.distances) >= 0)
    assert everything.truncated == frozenset()
    assert len(everything) == np.count_nonzero(distances(centre, codes) <= 31)
    assert capped.truncated == {0}
    assert capped.distances.tolist() == everything.distances[:7].tolist()


def test_a_blank_page_against_a_set_of_blank_pages_stays_within_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hits in all than are held at a time: each query still gets its nearest."""
    monkeypatch.setattr(nearest_module, "_MOST_HITS", 1000)
    monkeypatch.setattr("hashcore.near.hamming._FIRST_CAPACITY", 500)
    random = np.random.default_rng(2)
    centre = half_set(1, 32, random)
    codes = np.unique(flip_bits(np.repeat(centre, 500, axis=0), 12, random), axis=0)
    store.load("known", [rows(ids=True, pdq=codes)], now=0.0)
    queries = flip_bits(np.repeat(centre, 40, axis=0), 6, random)
    with store.read() as snapshot:
        matches = snapshot.match(PDQ, queries, most=5)
    assert matches.truncated == frozenset(range(40))
    best = np.sort(distances(queries, codes), axis=1)[:, :5]
    assert matches.distances.reshape(40, 5).tolist() == best.tolist()


def test_each_set_has_its_own_default_distance(store: Store) -> None:
    random = np.random.default_rng(3)
    code = half_set(1, 32, random)
    near = code.copy()
    near[0, :3] ^= 0xFF  # 24 bits
    store.load("strict", [rows(pdq=code)], LoadOptions(distances={"pdq": 20}), now=0.0)
    store.load("usual", [rows(pdq=code)], now=0.0)
    assert [match[2] for match in found(store, "pdq", near)] == ["usual"]
    assert [match[2] for match in found(store, "pdq", near, max_distance=24)] == ["strict", "usual"]
    assert found(store, "pdq", near, max_distance=23) == []
    outcome = store.load("strict", [rows(pdq=code)], LoadOptions(distances={"pdq": 30}), now=0.0)
    assert outcome.changed
    assert [match[2] for match in found(store, "pdq", near)] == ["strict", "usual"]
    assert not store.load("strict", [rows(pdq=code)], now=0.0).changed


@pytest.mark.parametrize(("name", "distance"), [("pdq", 65), ("phash", 17), ("md5", 1), ("pdq", -1)])
def test_a_distance_that_there_is_not_is_refused(store: Store, name: str, distance: int) -> None:
    with store.read() as snapshot, pytest.raises(BadDistance, match=name):
        snapshot.match(look_up(name), np.zeros((1, look_up(name).width), np.uint8), max_distance=distance)
    with pytest.raises(BadDistance):
        store.load("x", [], LoadOptions(distances={name: distance}), now=0.0)


def test_perceptual_sets_are_rolled_back_and_removed_like_others(store: Store) -> None:
    random = np.random.default_rng(4)
    first, second = half_set(60_000, 32, random), half_set(60_000, 32, random)
    generation = store.load("known", [rows(pdq=first)], now=0.0).generation
    store.load("known", [rows(pdq=second)], now=1.0)
    queries = np.concatenate([first[:5], second[:5]])
    assert [match[0] for match in found(store, "pdq", queries)] == [5, 6, 7, 8, 9]
    store.rollback(generation, now=2.0)
    assert [match[0] for match in found(store, "pdq", queries)] == [0, 1, 2, 3, 4]
    store.remove("known", now=3.0)
    assert found(store, "pdq", queries) == []


def test_appending_one_entry_does_not_rebuild_the_others(store: Store) -> None:
    random = np.random.default_rng(6)
    codes = np.unique(half_set(60_000, 32, random), axis=0)
    store.load("known", [rows(pdq=codes)], now=0.0)
    before = store.history()[-1].sets["known"].segments
    extra = half_set(3, 32, random)
    outcome = store.load(
        "known", [rows(pdq=np.concatenate([extra, codes[:2]]))], LoadOptions(append=True), now=1.0
    )
    assert (outcome.tally.added, outcome.tally.unchanged) == (3, 2)
    after = store.history()[-1].sets["known"].segments
    assert before[0] in after
    assert len(after) == 2
    assert outcome.entries == len(codes) + 3
    assert [match[0] for match in found(store, "pdq", np.concatenate([extra, codes[-2:]]))] == [0, 1, 2, 3, 4]
    again = store.load("known", [rows(pdq=extra)], LoadOptions(append=True), now=2.0)
    assert not again.changed


def test_many_small_appends_leave_few_segments(store: Store) -> None:
    random = np.random.default_rng(7)
    codes = half_set(400, 32, random)
    for start in range(0, 400, 10):
        store.load("known", [rows(pdq=codes[start : start + 10])], LoadOptions(append=True), now=float(start))
    assert len(store.history()[-1].sets["known"].segments) <= 4
    assert len(found(store, "pdq", codes, max_distance=0)) == 400


def test_a_known_good_picture_nearer_than_the_match_wins(store: Store) -> None:
    random = np.random.default_rng(8)
    query = half_set(1, 32, random)
    illegal, good = query.copy(), query.copy()
    illegal[0, :2] ^= 0xFF  # 16 bits away
    good[0, 2] ^= 0xFF  # 8 bits away
    store.load("known", [rows(pdq=illegal)], now=0.0)
    assert len(found(store, "pdq", query)) == 1
    store.load("good", [rows(pdq=good)], LoadOptions(role="known-good"), now=0.0)
    assert found(store, "pdq", query) == []
    assert len(found(store, "pdq", illegal)) == 1, "the illegal picture itself is nearer to itself"


def test_an_entry_that_a_known_good_set_holds_by_another_hash_is_left_out(store: Store) -> None:
    random = np.random.default_rng(9)
    codes, md5s = half_set(3, 32, random), random.integers(0, 256, (3, 16), np.uint8)
    store.load("known", [rows(ids=True, md5=md5s, pdq=codes)], now=0.0)
    store.load("good-md5", [rows(md5=md5s[:1])], LoadOptions(role="known-good"), now=0.0)
    store.load("good-pdq", [rows(pdq=codes[1:2])], LoadOptions(role="known-good"), now=0.0)
    assert [match[3] for match in found(store, "md5", md5s)] == ["id-2"]
    assert [match[3] for match in found(store, "pdq", codes)] == ["id-2"]


def test_entries_behind_vouched_ones_are_still_found_when_the_cap_bites(store: Store) -> None:
    random = np.random.default_rng(10)
    centre = half_set(1, 32, random)
    codes = np.unique(flip_bits(np.repeat(centre, 50, axis=0), 20, random), axis=0)
    codes = codes[np.argsort(distances(centre, codes)[0], kind="stable")]
    md5s = random.integers(0, 256, (len(codes), 16), np.uint8)
    store.load("known", [rows(ids=True, md5=md5s, pdq=codes)], now=0.0)
    store.load("good", [rows(md5=md5s[:-3])], LoadOptions(role="known-good"), now=0.0)
    near = [match[3] for match in found(store, "pdq", centre, most=2)]
    assert len(near) == 2
    assert set(near) <= {f"id-{number}" for number in range(len(codes) - 3, len(codes))}


def test_blank_pictures_do_not_get_into_a_match_set(store: Store) -> None:
    rejects: list[str] = []
    store.load(
        "known", [rows(pdq=np.zeros((1, 32), np.uint8))], now=0.0, on_reject=lambda r: rejects.append(r.reason)
    )
    assert rejects == ["the pdq of a blank picture: it is everywhere and harmless"]
    assert found(store, "pdq", np.zeros((1, 32), np.uint8)) == []


def test_one_row_with_three_hashes_is_one_entry(store: Store) -> None:
    random = np.random.default_rng(11)
    codes, md5s = half_set(60_000, 32, random), random.integers(0, 256, (60_000, 16), np.uint8)
    small = random.integers(0, 256, (60_000, 8), np.uint8)
    block = rows(ids=True, md5=md5s, pdq=codes, phash=small)
    block = Rows(block.lines, block.hashes, Categories(np.zeros(60_000, np.int32), ["baseline"]), block.ids)
    assert store.load("known", [block], now=0.0).entries == 60_000
    for hash_type, digests in (("md5", md5s), ("pdq", codes), ("phash", small)):
        exact = [match for match in found(store, hash_type, digests[:50]) if match[1] == 0]
        assert [match[3] for match in exact] == [f"id-{number}" for number in range(50)]
