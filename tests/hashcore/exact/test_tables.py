from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hamming_model import in_pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashcore.arrays.ordering import digest_prefixes, sort_rows
from hashcore.exact.tables import ROWS_PER_SLOT, Table, TableGroup, count_slots, directory_bits

Digests = NDArray[np.uint8]
UNBOUNDED = 1 << 40
KINDS = ["random", "equal", "few", "same start", "ends", "last byte"]


def make_digests(kind: str, n: int, width: int, random: np.random.Generator) -> Digests:
    digests = random.integers(0, 256, (n, width), np.uint8)
    if kind == "equal":
        digests[:] = 5
    elif kind == "few" and n:
        digests = digests[random.integers(0, min(n, 4), n)]
    elif kind == "same start":
        digests[:, :8] = 200
    elif kind == "ends":
        digests[: n // 2] = 0
        digests[n // 2 :] = 255
    elif kind == "last byte":
        digests[:, :-1] = 128
    return digests


def make_table(digests: Digests, shift: int, *, permuted: bool) -> Table:
    """A table over digests in small pieces; sorts them in place if rows are to be ranks."""
    n = len(digests)
    order = sort_rows(digests, np.zeros(n, np.uint64))
    ranked = digests[order]
    if not permuted:
        digests[:] = ranked
    bits = directory_bits(n)
    prefixes = np.empty(n, np.uint64)
    digest_prefixes(ranked, prefixes)
    counts = np.zeros((1 << bits) + 1, np.uint32)
    count_slots(prefixes, bits, counts)
    directory = np.cumsum(counts, dtype=np.uint32)
    assert directory[-1] == n
    return Table(
        in_pieces(digests, shift), in_pieces(directory, shift), bits, in_pieces(order, shift) if permuted else None
    )


def asked_for(known: list[Digests], width: int, random: np.random.Generator) -> Digests:
    """Digests that are known, that differ in one bit of any byte from one that is, and others."""
    pool = np.concatenate([np.empty((0, width), np.uint8), *known])
    some = pool[random.integers(0, len(pool), 25)] if len(pool) else pool
    near = some.copy()
    near[np.arange(len(near)), random.integers(0, width, len(near))] ^= 1
    ends = np.array([[0] * width, [255] * width], np.uint8)
    return np.concatenate([some, near, ends, random.integers(0, 256, (10, width), np.uint8)])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([8, 16, 20, 32]),
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 7, 8, 9, 31, 33, 200]), max_size=4),
    kind=st.sampled_from(KINDS),
    shift=st.integers(0, 7),
)
def test_a_search_finds_what_a_dictionary_of_rows_finds(
    seed: int, width: int, sizes: list[int], kind: str, shift: int
) -> None:
    random = np.random.default_rng(seed)
    known = [make_digests(kind, n, width, random) for n in sizes]
    tables = [make_table(digests, shift, permuted=bool(random.integers(0, 2))) for digests in known]
    rows: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, digests in enumerate(known):
        for row, digest in enumerate(digests):
            rows[digest.tobytes()].append((number, row))
    asked = asked_for(known, width, random)
    chosen = np.flatnonzero(random.integers(0, 4, len(asked))).astype(np.uint32)
    found = TableGroup.of(width, tables).search(asked, chosen, UNBOUNDED)
    assert all(part.dtype == np.uint32 for part in found)
    got = sorted(zip(*(part.tolist() for part in found), strict=True))
    expected = [(query, *place) for query in chosen.tolist() for place in rows[asked[query].tobytes()]]
    assert got == sorted(expected)


@pytest.mark.parametrize("most", [1, 2, 49, 50, 51])
@pytest.mark.parametrize("permuted", [False, True])
def test_no_more_rows_of_a_table_are_reported_for_a_digest_than_asked_for(most: int, permuted: bool) -> None:
    known = [np.full((50, 16), 7, np.uint8), np.full((3, 16), 7, np.uint8)]
    group = TableGroup.of(16, [make_table(digests, 3, permuted=permuted) for digests in known])
    queries, tables, rows = group.search(np.full((2, 16), 7, np.uint8), np.array([0, 1], np.uint32), most)
    assert Counter(zip(queries.tolist(), tables.tolist(), strict=True)) == {
        (query, table): min(most, len(known[table])) for query in (0, 1) for table in (0, 1)
    }
    assert len(set(zip(queries.tolist(), tables.tolist(), rows.tolist(), strict=True))) == len(rows)


def test_more_matches_than_there_was_room_for_are_all_reported() -> None:
    known = np.full((1000, 16), 7, np.uint8)
    group = TableGroup.of(16, [make_table(known, 4, permuted=False)])
    queries, _, rows = group.search(np.full((70, 16), 7, np.uint8), np.arange(70, dtype=np.uint32), UNBOUNDED)
    assert len(set(zip(queries.tolist(), rows.tolist(), strict=True))) == 70_000


@pytest.mark.parametrize("tables", [0, 1])
def test_nothing_is_found_where_there_is_nothing(tables: int) -> None:
    empty = np.empty((0, 16), np.uint8)
    group = TableGroup.of(16, [make_table(empty, 2, permuted=False)] * tables)
    for asked in (empty, np.zeros((3, 16), np.uint8)):
        chosen = np.arange(len(asked), dtype=np.uint32)
        assert [len(part) for part in group.search(asked, chosen, UNBOUNDED)] == [0, 0, 0]


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 1000, 10_000_000])
def test_a_slot_of_the_directory_leads_to_about_as_many_rows_as_it_should(rows: int) -> None:
    bits = directory_bits(rows)
    assert bits >= 1
    assert rows / 2**bits <= ROWS_PER_SLOT
    assert bits == 1 or rows / 2**bits >= ROWS_PER_SLOT / 2 - 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 50), bits=st.integers(1, 10))
def test_slots_are_counted_in_parts_as_at_once(seed: int, n: int, bits: int) -> None:
    prefixes = np.random.default_rng(seed).integers(0, 2**64, n, np.uint64)
    counts = np.zeros((1 << bits) + 1, np.uint32)
    count_slots(prefixes[: n // 3], bits, counts)
    count_slots(prefixes[n // 3 :], bits, counts)
    expected = Counter((int(prefix) >> (64 - bits)) + 1 for prefix in prefixes)
    assert {slot: count for slot, count in enumerate(counts.tolist()) if count} == expected
