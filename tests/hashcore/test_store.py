"""A store has and answers what a plain model does, whatever is done to it, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import EXACT, Change, Model, Row, blocks_of, check, counts, packed, row, rows_of, withdrawals_of

import hashcore
from hashcore import Limits, LoadOptions, Outcome, Reject, Rows, Store, Withdrawals
from hashcore import hash_type as look_up
from hashcore.errors import OtherRole, StoreError, UnknownEntry, UnknownGeneration, UnknownSet

KEEP = 3
IDS = ("A-1", "ß" * 40)
NAMES = ("police", "hotline", "nsrl")


def alphabet(hash_type: str) -> list[bytes]:
    """A few digests, so that they meet: zeros, ones, some that differ late, the empty file's."""
    width = look_up(hash_type).width
    late = [b"8 equal.".ljust(width - 1, b".") + bytes([last]) for last in (0, 1, 255)]
    early = [bytes([first]) + bytes(width - 1) for first in (0, 1, 0x80)]
    return [*early, *late, b"\xff" * width, *look_up(hash_type).benign]


DIGESTS = {hash_type: alphabet(hash_type) for hash_type in EXACT}


@st.composite
def rows(draw: st.DrawFn) -> Row:
    hash_types = draw(st.sets(st.sampled_from(EXACT), min_size=1))
    row: dict[str, object] = {
        hash_type: draw(st.sampled_from(DIGESTS[hash_type])) for hash_type in EXACT if hash_type in hash_types
    }
    for column, values in (("category", ("baseline", "été", None)), ("id", (*IDS, ""))):
        if draw(st.booleans()):
            row[column] = draw(st.sampled_from(values))
    return row


@dataclass(frozen=True)
class Load:
    """A load, in blocks of a size."""

    name: str
    rows: list[Row]
    options: LoadOptions
    block: int
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Withdraw:
    """Entries withdrawn by their ids, known or not."""

    name: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Remove:
    """A set withdrawn."""

    name: str


@dataclass(frozen=True)
class Rollback:
    """Back to the generation that many before the current one, kept or not."""

    back: int


@dataclass(frozen=True)
class Reopen:
    """The store closed and opened again."""


LOADS = st.builds(
    Load,
    st.sampled_from(NAMES),
    st.lists(rows(), max_size=14),
    st.one_of(
        st.builds(
            LoadOptions,
            role=st.sampled_from([None, "match", "known-good"]),
            category=st.sampled_from([None, "baseline"]),
        ),
        st.builds(LoadOptions, category=st.sampled_from([None, "baseline"]), append=st.just(True)),
    ),
    st.sampled_from([1, 3, 100]),
    st.one_of(st.just(()), st.just(()), st.sampled_from([IDS, IDS[:1], ("", "A-2"), (*IDS[1:], "A-2")])),
)
ONE_MORE = st.builds(
    lambda name, row: Load(name, [row], LoadOptions(append=True), 1), st.sampled_from(NAMES), rows()
)
STEPS = st.lists(
    st.one_of(
        LOADS,
        LOADS,
        LOADS,
        ONE_MORE,
        ONE_MORE,
        st.builds(Withdraw, st.sampled_from(NAMES), st.sampled_from([IDS, IDS[:1], IDS[1:], ("A-2", "", "A-1")])),
        st.builds(Remove, st.sampled_from(NAMES)),
        st.builds(Rollback, st.integers(-1, KEEP + 1)),
        st.builds(Reopen),
    ),
    min_size=1,
    max_size=12,
)


def as_change(outcome: Outcome) -> Change:
    return Change(outcome.generation, outcome.changed, outcome.entries, **asdict(outcome.tally))


def take_step(store: Store, model: Model, step: Load | Withdraw | Remove | Rollback, now: float) -> None:
    """Do it to both; they report the same, or refuse in a sentence."""
    if isinstance(step, Load):
        rejects: list[Reject] = []
        blocks: Iterable[Rows | Withdrawals] = blocks_of(step.rows, step.block)
        if step.withdrawn:
            blocks = [withdrawals_of(step.withdrawn[:1]), *blocks, withdrawals_of(step.withdrawn[1:])]
        before, role = model.sets.get(step.name), step.options.role
        if before is not None and role not in (None, before.role):
            with pytest.raises(OtherRole, match=f"hashserver sets role {step.name} {role}"):
                store.load(step.name, blocks, step.options, now=now)
            assert role is not None
            assert as_change(store.change_role(step.name, role, now=now)) == model.change_role(step.name, role)
            return
        outcome = store.load(step.name, blocks, step.options, now=now, on_reject=rejects.append)
        assert as_change(outcome) == model.load(step.name, step.rows, step.options, now, step.withdrawn)
        assert len(rejects) == outcome.tally.rejected
    elif isinstance(step, Withdraw):
        if step.name not in model.sets:
            with pytest.raises(UnknownSet, match=f"no set named '{step.name}'; sets in generation"):
                store.withdraw(step.name, step.ids, now=now)
        elif model.ids(step.name).isdisjoint(step.ids):
            with pytest.raises(UnknownEntry, match=f"set '{step.name}' has no entry with any of the"):
                store.withdraw(step.name, step.ids, now=now)
        else:
            missing = tuple(each for each in step.ids if each not in model.ids(step.name))
            outcome = store.withdraw(step.name, step.ids, now=now)
            assert outcome.missing == missing
            assert as_change(outcome) == model.withdraw(step.name, step.ids)
    elif isinstance(step, Remove):
        if step.name in model.sets:
            assert as_change(store.remove(step.name, now=now)) == model.remove(step.name)
        else:
            with pytest.raises(UnknownSet, match=f"no set named '{step.name}'; sets in generation"):
                store.remove(step.name, now=now)
    else:
        to = max(0, model.generation - step.back)
        if to in model.kept:
            assert as_change(store.rollback(to, now=now)) == model.rollback(to)
        else:
            with pytest.raises(UnknownGeneration, match=f"generation {to} is not kept; kept generations: "):
                store.rollback(to, now=now)


def assert_same(store: Store, model: Model) -> None:
    assert [manifest.generation for manifest in store.history()] == list(model.kept)
    assert counts(store) == model.counts()
    for hash_type, digests in DIGESTS.items():
        assert check(store, hash_type, digests) == model.check(hash_type, digests)
        some = frozenset({"police", "absent"})
        assert check(store, hash_type, digests, some) == model.check(hash_type, digests, some)
    with store.read() as snapshot:
        assert snapshot.generation == model.generation


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, run_rows=st.sampled_from([2, 1 << 20]))
def test_a_store_is_what_the_model_is_after_every_step(
    steps: list[Load | Withdraw | Remove | Rollback | Reopen], run_rows: int
) -> None:
    limits = Limits(run_bytes=1, piece_bytes=64, keep_generations=KEEP)
    model = Model(KEEP)
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,  # runs of two rows, and every one of them spilled
    ):
        patch.setattr("hashcore.changes.runs._RUN_ROWS", run_rows)
        patch.setattr("hashcore.disk.environment._FEWEST_PUNCHED", 1)
        store = Store(Path(folder), limits=limits)
        try:
            for now, step in enumerate(steps, 1):
                if isinstance(step, Reopen):
                    store.close()
                    store = Store(Path(folder), limits=limits)
                else:
                    take_step(store, model, step, float(now))
                # Whatever free pages are made holes of, it shows in no answer.
                assert store._environment.give_back() is not None
                assert_same(store, model)
            assert store.verify(pytest.fail).problems == 0
        finally:
            store.close()


def test_each_of_several_shapes_keeps_the_categories_of_its_own_rows(tmp_path: Path) -> None:
    """The second load meets the labels of one type while it writes the rows of another."""
    model = Model(10)
    with Store(tmp_path) as store:
        for now, extra in enumerate(range(4, 9), 1):
            given = [row(1, category="a"), row(1, "sha1", category="b"), row(1, "sha256", category="c")]
            given += [row(extra, hash_type) for hash_type in EXACT]
            step = Load("police", given, LoadOptions(append=True), 100)
            take_step(store, model, step, float(now))
            for hash_type in EXACT:
                asked = [number.to_bytes(look_up(hash_type).width, "little") for number in range(10)]
                assert check(store, hash_type, asked) == model.check(hash_type, asked)


def test_ids_that_go_and_come_again_stay_with_their_rows(tmp_path: Path) -> None:
    model = Model(10)
    asked = [number.to_bytes(16, "little") for number in range(300)]
    steps = [
        Load("police", [row(n, id=f"id {n}") for n in range(50)], LoadOptions(), 7),
        Load("police", [row(n) for n in range(60)], LoadOptions(), 7),
        Load("police", [row(n, id=str(n)) for n in range(200, 300)], LoadOptions(append=True), 7),
        Load("police", [row(n) for n in range(100, 110)], LoadOptions(append=True), 7),
        Load("police", [row(n, id=f"id {n}" if n % 2 else "") for n in range(300)], LoadOptions(), 300),
    ]
    with Store(tmp_path, limits=Limits(piece_bytes=64)) as store:
        for now, step in enumerate(steps, 1):
            take_step(store, model, step, float(now))
            assert check(store, "md5", asked) == model.check("md5", asked)


def test_many_small_appends_add_up(tmp_path: Path) -> None:
    model = Model(2)
    asked = [number.to_bytes(16, "little") for number in range(200)]
    with Store(tmp_path, limits=Limits(keep_generations=2)) as store:
        take_step(store, model, Load("police", [row(n) for n in range(150)], LoadOptions(), 50), 0.0)
        for now in range(1, 26):
            given = [row(125 + now), row(now * 4), row(125 + now, category="again")]
            take_step(store, model, Load("police", given, LoadOptions(append=True), 1), float(now))
        assert check(store, "md5", asked) == model.check("md5", asked)
        assert counts(store) == model.counts()


def test_loading_the_same_again_publishes_nothing_and_does_not_grow_the_file(tmp_path: Path) -> None:
    given = [row(n, category="c", id=str(n)) for n in range(3000)]
    with Store(tmp_path) as store:
        first = store.load("police", blocks_of(given, 1000), now=1.0)
        sizes = []
        for now in range(2, 8):
            again = store.load("police", blocks_of(given[::-1], 700), now=float(now))
            assert (again.changed, again.generation, again.tally.unchanged) == (False, first.generation, 3000)
            sizes.append(store.bytes_used)
        # Pages freed by one change are used again by the change after the next: from the third on
        # it is steady.
        assert sizes[-1] == sizes[2]


def test_an_entry_that_stays_keeps_the_time_it_was_added(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.load("police", [rows_of([row(1)])], now=1.5)
        store.load("police", [rows_of([row(1), row(2)])], now=2.5)
        found = check(store, "md5", [number.to_bytes(16, "little") for number in (1, 2)])
    assert set(found) == {(0, "police", None, None, 0, 1.5), (1, "police", None, None, 0, 2.5)}


def test_an_empty_store_knows_nothing_and_says_so(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert check(store, "md5", [bytes(16)]) == {}
        assert store.history() == []
        with pytest.raises(UnknownSet, match="no set named 'police'; sets in generation 0: none"):
            store.remove("police", now=1.0)
        with pytest.raises(UnknownGeneration, match="generation 1 is not kept; kept generations: none"):
            store.rollback(1, now=1.0)


def test_an_unknown_role_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with pytest.raises(StoreError, match="unknown role 'good'; a set's role is one of match, known-good"):
            store.load("police", [rows_of([row(1)])], LoadOptions("good"), now=1.0)
        assert store.history() == []


def test_a_reader_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    def torn() -> Iterator[Rows]:
        yield rows_of([row(2)])
        raise ValueError("line 2 is torn")

    def failing_report(_: Reject) -> None:
        raise RuntimeError("the reject file cannot be written")

    empty = next(iter(look_up("md5").benign))
    attempts: list[tuple[type[Exception], Callable[[Store], object]]] = [
        (ValueError, lambda store: store.load("police", torn(), now=2.0)),
        (
            RuntimeError,
            lambda store: store.load("police", [rows_of([{"md5": empty}])], now=2.0, on_reject=failing_report),
        ),
    ]
    with Store(tmp_path) as store:
        store.load("police", [rows_of([row(1)])], now=1.0)
        for kind, attempt in attempts:
            with pytest.raises(kind):
                attempt(store)
            assert [each.generation for each in store.history()] == [1]
            assert len(check(store, "md5", [bytes([1]) + bytes(15)])) == 1
            assert sorted(path.name for path in tmp_path.iterdir()) == ["data.mdb", "lock.mdb", "writer.lock"]
        store.load("police", [rows_of([row(2)])], now=3.0, timeout=0.0)


def test_a_block_read_stays_in_its_generation_while_others_move_on(tmp_path: Path) -> None:
    asked = [number.to_bytes(16, "little") for number in (1, 2)]
    with Store(tmp_path) as store:
        store.load("police", [rows_of([row(1)])], now=1.0)
        with store.read() as before:
            assert before.generation == 1
            store.load("police", [rows_of([row(2)])], now=2.0)
            assert before.match(look_up("md5"), packed("md5", asked)).queries.tolist() == [0]
            assert [answer[0] for answer in check(store, "md5", asked)] == [1]


def test_the_example_in_the_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, example = (hashcore.__doc__ or "").partition("::\n")
    exec("\n".join(line.removeprefix("    ") for line in example.splitlines()), {})
    assert capsys.readouterr().out.splitlines() == [f"{index} police None None" for index in range(3)]
