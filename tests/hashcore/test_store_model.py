"""The store does what a dictionary of sets would, whatever is loaded, appended, removed and rolled back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_store import EXACT, Item, PlainStore, answers, as_rows, blocks, is_benign

import hashcore
from hashcore import Limits, LoadOptions, Store, hash_type
from hashcore.errors import StoreError, UnknownGeneration, UnknownSet

POOL = {
    kind: [bytes([n % 3]) * 7 + bytes([n]) + bytes(hash_type(kind).width - 8) for n in range(6)]
    + [next(iter(hash_type(kind).benign))]
    for kind in EXACT
}


@st.composite
def items(draw: st.DrawFn) -> Item:
    kinds = draw(st.lists(st.sampled_from(EXACT), min_size=1, max_size=3, unique=True))
    hashes = tuple((kind, draw(st.sampled_from(POOL[kind]))) for kind in EXACT if kind in kinds)
    category = draw(st.sampled_from([None, "baseline", "été"]))
    return Item(hashes, category, draw(st.sampled_from([None, "A-1", "B"])))


LOADS = st.tuples(
    st.just("load"),
    st.sampled_from(["police", "hotline", "nsrl"]),
    st.lists(items(), max_size=12),
    st.booleans(),
    st.sampled_from([None, "default"]),
)
STEPS = st.lists(
    st.one_of(
        LOADS,
        LOADS,
        st.tuples(st.just("remove"), st.sampled_from(["police", "hotline", "nsrl"])),
        st.tuples(st.just("rollback"), st.integers(1, 6)),
        st.tuples(st.just("reopen")),
    ),
    max_size=7,
)
TINY = Limits(run_bytes=200, piece_bytes=64, keep_generations=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_sequence_of_changes(steps: list[tuple]) -> None:
    plain = PlainStore()
    generations = {0: plain.copy()}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "data", limits=TINY)
        for step in steps:
            if step[0] == "load":
                load(store, plain, *step[1:])
            elif step[0] == "remove":
                if step[1] in plain.sets:
                    store.remove(step[1], now=0.0)
                    del plain.sets[step[1]], plain.roles[step[1]]
                else:
                    with pytest.raises(UnknownSet, match="no set named"):
                        store.remove(step[1], now=0.0)
            elif step[0] == "rollback":
                kept = [manifest.generation for manifest in store.history()]
                assert kept == sorted(kept)
                assert len(kept) <= TINY.keep_generations
                if step[1] in kept:
                    store.rollback(step[1], now=0.0)
                    plain = generations[step[1]].copy()
                else:
                    with pytest.raises(UnknownGeneration, match="is not kept"):
                        store.rollback(step[1], now=0.0)
            else:
                store.close()
                store = Store(Path(folder) / "data", limits=TINY)
            with store.read() as snapshot:
                generations[snapshot.generation] = plain.copy()
                held = {name: entry.entries for name, entry in snapshot.manifest.sets.items()}
            assert held == {name: len(stored) for name, stored in plain.sets.items()}
            for kind in EXACT:
                digests = np.frombuffer(b"".join(POOL[kind]), np.uint8).reshape(len(POOL[kind]), -1)
                assert answers(store, kind, digests) == [plain.matches(kind, digest) for digest in POOL[kind]]
        store.close()


def load(
    store: Store, plain: PlainStore, name: str, given: list[Item], append: bool, category: str | None
) -> None:
    """Load into both, and compare what the load says it did."""
    role = "known-good" if name == "nsrl" else "match"
    options = LoadOptions(role=role, category=category, append=append)
    rejects: list[object] = []
    outcome = store.load(name, blocks(given), options, now=0.0, on_reject=rejects.append)
    taken = [item for item in given if role != "match" or not is_benign(item)]
    named = {Item(item.hashes, item.category or category, item.id) for item in taken}
    before = plain.sets.get(name, frozenset())
    after = frozenset(named | before if append else named)
    tally = outcome.tally
    assert tally.added == len(named - before)
    assert tally.unchanged == len(named & before)
    assert tally.removed == len(before - after)
    assert tally.duplicates == len(taken) - len(named)
    assert tally.rejected == len(rejects) == len(given) - len(taken)
    assert outcome.changed == (name not in plain.sets or after != before)
    plain.sets[name], plain.roles[name] = after, role


def test_loading_the_same_rows_twice_changes_nothing(tmp_path: Path) -> None:
    given = [Item((("md5", bytes([n]) * 16),), "c", str(n)) for n in range(1, 200)]
    with Store(tmp_path) as store:
        first = store.load("police", blocks(given, 50), now=1.0)
        size = store.bytes_used
        second = store.load("police", blocks(given, 70), now=2.0)
        assert (first.changed, second.changed) == (True, False)
        assert second.generation == first.generation
        assert second.tally.unchanged == 199
        assert store.bytes_used <= size + (1 << 20)


def test_an_unknown_role_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(StoreError, match=r"unknown role 'bad'.*match, known-good"):
        store.load("police", [], LoadOptions(role="bad"), now=0.0)


def test_a_reader_that_fails_half_way_leaves_the_old_generation(tmp_path: Path) -> None:
    known = Item((("md5", b"k" * 16),))

    def failing():
        yield as_rows([Item((("md5", bytes([n]) * 16),)) for n in range(1, 100)])
        raise ValueError("the file is torn")

    with Store(tmp_path) as store:
        store.load("police", blocks([known]), now=0.0)
        with pytest.raises(ValueError, match="torn"):
            store.load("police", failing(), now=1.0)
        assert answers(store, "md5", np.frombuffer(b"k" * 16, np.uint8).reshape(1, 16)) == [
            {("police", None, None)}
        ]
        assert store.history()[-1].generation == 1


def test_one_hash_listed_very_often_is_capped_and_says_so(tmp_path: Path) -> None:
    digest = b"x" * 16
    given = [Item((("md5", digest),), None, str(n)) for n in range(1500)]
    with Store(tmp_path) as store:
        store.load("police", blocks(given, 500), now=0.0)
        with store.read() as snapshot:
            matches = snapshot.match(hash_type("md5"), np.frombuffer(digest, np.uint8).reshape(1, 16), most=1000)
        assert len(matches) == 1000
        assert matches.truncated == {0}


def test_the_example_of_the_docstring_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    example = hashcore.__doc__.partition("::\n")[2]
    exec("\n".join(line[4:] for line in example.splitlines()))
    assert capsys.readouterr().out == "0 police None None\n1 police None None\n2 police None None\n"
