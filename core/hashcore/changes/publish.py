"""Publishing: every change to the store makes one new generation, in one commit."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hashcore.changes.batches import Shape
from hashcore.changes.filter_upkeep import plan_filters
from hashcore.changes.history import add_action, kept_generations, withdraw_action
from hashcore.changes.merge import RowSource, Tally, merge, without_ids
from hashcore.changes.runs import Run, RunBuilder
from hashcore.changes.segments import SegmentWriter
from hashcore.changes.sweep import Scratch, delete_objects, find_orphans
from hashcore.changes.work import Work
from hashcore.disk.environment import Environment
from hashcore.disk.layout import (
    FORMAT,
    ID_BYTES,
    KEY_CURRENT,
    KEY_FORMAT,
    KEY_ID,
    KEY_NEXT,
    HashSet,
    Manifest,
    Segment,
    filter_key,
    get_set,
    manifest_key,
    object_bytes,
    read_current,
    read_manifest,
    read_manifests,
    read_number,
    read_segment,
    segment_key,
)
from hashcore.disk.staging import PIECE_BYTES, Stage
from hashcore.disk.tombstones import NONE_DEAD, read_tombstones
from hashcore.errors import OtherRole, StoreError, UnknownEntry, UnknownGeneration, UnknownRole
from hashcore.hashtypes import check_distance
from hashcore.reading.wanted import Wanted
from hashcore.rows import Reject, Rows, Withdrawals

ROLES = ("match", "known-good")
_MERGE_BELOW = 8  # a segment with up to this many times the rows to be merged is rewritten


@dataclass(frozen=True, slots=True)
class Limits:
    """How much memory and history changes may use.

    Args:
        run_bytes: bytes of rows to hold in memory; more are spilled to disk.
        piece_bytes: bytes in the pieces that columns are stored in.
        keep_generations: how many generations to keep for rollback, the current one included; see
            `hashcore.changes.history`.
        reserve_bytes: how much of the disk to leave free, at most a 20th of it.
    """

    run_bytes: int = 512 << 20
    piece_bytes: int = PIECE_BYTES
    keep_generations: int = 10
    reserve_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Planned:
    """What a load would do to its set, before it is published.

    Args:
        before: entries that the set has; None for a new set.
        after: entries that it would have.
        tally: how many would be added, removed and so on.
    """

    before: int | None
    after: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a load treats its rows.

    Args:
        role: "match" or "known-good", which has to be the set's own if there is one; None keeps the
            role of a set, and makes a new set "match".
        category: the category of rows that have none of their own.
        append: add to the set rather than replace its contents.
        renew: blocks withdraw only what the set had before the load; their own rows are loaded even
            if they have a withdrawn id.
        distances: the set's default distance by perceptual type; other types keep theirs.
        look_over: called with what the load would do, when all rows have been read and nobody else
            may change the store; if it raises, nothing changes.
    """

    role: str | None = None
    category: str | None = None
    append: bool = False
    renew: bool = False
    distances: Mapping[str, int] = field(default_factory=dict)
    look_over: Callable[[Planned], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change did.

    Args:
        generation: the current generation afterwards; the same as before if nothing changed.
        changed: whether a generation was published.
        tally: how many entries were added, removed and so on.
        entries: how many entries the set has now; all sets together after a rollback.
        missing: external ids to withdraw that no entry of the set has.
    """

    generation: int
    changed: bool
    tally: Tally
    entries: int
    missing: tuple[str, ...] = ()


class Publisher:
    """Makes new generations. The caller must hold the writer lock.

    Args:
        environment: the environment of the store.
        limits: how much memory and history to use.
        on_phase: called now and then with the phase ("reading", "merging" or "publishing"), the
            rows done, and the rows in all (0 if not known).
    """

    def __init__(
        self,
        environment: Environment,
        limits: Limits,
        *,
        on_phase: Callable[[str, int, int], None] = lambda _phase, _done, _total: None,
    ) -> None:
        self._environment, self._limits, self._on_phase = environment, limits, on_phase

    def load(
        self,
        name: str,
        blocks: Iterable[Rows | Withdrawals],
        options: LoadOptions,
        *,
        now: float,
        on_reject: Callable[[Reject], None] = lambda _: None,
    ) -> Outcome:
        """Replace the contents of a set, or append to them.

        No entry with an id that a block withdraws is in the set afterwards, not even if another
        block adds it; but see `LoadOptions.renew`.

        Raises:
            UnknownRole: the options name a role that does not exist.
            OtherRole: the set has another role; a load never changes it.
            BadDistance: the options set a distance that its hash type does not allow.
        """
        current = self._read_current()
        role = options.role or (current.sets[name].role if name in current.sets else "match")
        _check_role(role)
        if name in current.sets and current.sets[name].role != role:
            raise OtherRole(
                f"set {name!r} is a {current.sets[name].role} set, and a load never changes the role of a set; to "
                f"make it {role}, with all of its {current.sets[name].entries:,} entries, run "
                f'hashserver sets role {name} {role} --because "..."'
            )
        for hash_type, distance in options.distances.items():
            check_distance(hash_type, distance)
        with Scratch(self._environment.folder) as scratch, self._stage() as stage:
            work = self._work(stage, current, name)
            builder = RunBuilder(
                scratch.path,
                work.book,
                category=options.category,
                added=now,
                on_reject=on_reject,
                keep_benign=role != "match",
                run_bytes=self._limits.run_bytes,
                before_spill=stage.check_space,
            )
            withdrawn = self._read(builder, blocks)
            work.tally.rejected = builder.rejected
            runs = builder.finish()
            if withdrawn:
                runs = runs if options.renew else without_ids(runs, withdrawn)
                if options.append:
                    self._bury(work, withdrawn)
            segments = self._merge(work, runs, keep_old=options.append)
            before = current.sets.get(name)
            distances = {**(before.distances if before else {}), **options.distances}
            same = before is not None and (before.role, before.distances) == (role, distances)
            changed = work.describe(HashSet(name, role, [], {}, 0, now, 0, 0, distances), segments)
            options.look_over(Planned(None if before is None else before.entries, changed.entries, work.tally))
            if before is not None and same and work.tally.changes == 0:
                return Outcome(current.generation, False, work.tally, before.entries)
            sets = {**current.sets, name: changed}
            action = add_action(work.tally.added, name) if options.renew else f"load {name}"
            generation = self._publish(work, sets, action, now, segments)
        return Outcome(generation, True, work.tally, changed.entries)

    def change_role(self, name: str, role: str, *, now: float) -> Outcome:
        """Change the role of a set; its entries stay as they are.

        Raises:
            UnknownSet: no set has that name.
            UnknownRole: there is no such role.
        """
        current = self._read_current()
        entry = get_set(current, name)
        _check_role(role)
        if entry.role == role:
            return Outcome(current.generation, False, Tally(), entry.entries)
        changed = replace(entry, role=role, loaded=now, added=0, removed=0)
        with self._stage() as stage:
            work = self._work(stage, current, name)
            sets = {**current.sets, name: changed}
            generation = self._publish(work, sets, f"role of {name}: {role}", now, list(work.old.values()))
        return Outcome(generation, True, Tally(), entry.entries)

    def withdraw(self, name: str, ids: Sequence[str], *, now: float) -> Outcome:
        """Withdraw the entries of a set that have some ids; no segment is rewritten.

        Raises:
            UnknownSet: no set has that name.
            UnknownEntry: the set has no entry with any of the ids.
        """
        current = self._read_current()
        entry = get_set(current, name)
        wanted = Wanted(each.encode() for each in ids)
        with self._stage() as stage:
            work = self._work(stage, current, name)
            self._bury(work, wanted)
            if not work.tally.removed:
                some = ", ".join(repr(each) for each in ids[:3]) or "none"
                raise UnknownEntry(f"set {name!r} has no entry with any of the {len(ids):,} ids given: {some}")
            segments = list(work.old.values())
            changed = work.describe(replace(entry, loaded=now), segments)
            action = withdraw_action(work.tally.removed, name)
            generation = self._publish(work, {**current.sets, name: changed}, action, now, segments)
        missing = tuple(each for each in dict.fromkeys(ids) if each.encode() not in wanted.found)
        return Outcome(generation, True, work.tally, changed.entries, missing)

    def remove(self, name: str, *, now: float) -> Outcome:
        """Remove a set; earlier generations still have it, so a rollback brings it back.

        Raises:
            UnknownSet: no set has that name.
        """
        current = self._read_current()
        tally = Tally(removed=get_set(current, name).entries)
        sets = {other: entry for other, entry in current.sets.items() if other != name}
        with self._stage() as stage:
            generation = self._publish(Work(stage, current), sets, f"remove {name}", now, [])
        return Outcome(generation, True, tally, 0)

    def rollback(self, to: int, *, now: float) -> Outcome:
        """Publish the sets of an earlier generation again, as a new one.

        Raises:
            UnknownGeneration: it never existed, or has been pruned.
        """
        with self._environment.reading() as transaction:
            current = read_current(transaction)
            target = read_manifest(transaction, to)
            kept = [manifest.generation for manifest in read_manifests(transaction)]
        if target is None or to == 0:
            raise UnknownGeneration(
                f"generation {to} is not kept; kept generations: {', '.join(map(str, kept)) or 'none'}"
            )
        if target.sets == current.sets:
            return Outcome(current.generation, False, Tally(), _entries(current))
        with self._stage() as stage:
            generation = self._publish(Work(stage, current), target.sets, f"rollback to {to}", now, [])
        return Outcome(generation, True, Tally(), _entries(target))

    def sweep(self) -> int:
        """Delete the objects that killed or failed changes have left behind.

        Returns:
            How many bytes they had.
        """
        with self._environment.reading() as transaction:
            orphans = find_orphans(transaction, list(read_manifests(transaction)), read_current(transaction))
            their_bytes = sum(object_bytes(transaction, number) for number in orphans)
        if orphans:
            self._environment.write(lambda transaction: delete_objects(transaction, orphans), room=8 << 20)
        return their_bytes

    def try_to_sweep(self) -> None:
        """Sweep after a failure; if the disk is full, leave it to the next change."""
        with suppress(StoreError):
            self.sweep()

    def turn_page(self) -> None:
        """Commit without changing anything: what the last commit freed can be given back then."""

        def write_again(transaction: Any) -> None:
            number = read_number(transaction, KEY_NEXT)
            transaction.put(KEY_NEXT, number.to_bytes(8, "little"))

        self._environment.write(write_again, room=1 << 16)

    def _read(self, builder: RunBuilder, blocks: Iterable[Rows | Withdrawals]) -> Wanted | None:
        """Pass all rows to the builder, and return the ids that are withdrawn."""
        read = 0
        withdrawn: list[bytes] = []
        for block in blocks:
            if isinstance(block, Withdrawals):
                withdrawn.extend(block.ids[index] for index in range(len(block.ids)))
            else:
                self._add(builder, block)
            read += len(block)
            self._on_phase("reading", read, 0)
        return Wanted(withdrawn) if withdrawn else None

    def _add(self, builder: RunBuilder, rows: Rows) -> None:
        try:
            builder.add(rows)
        except OSError as error:  # rows that do not fit into memory are spilled to the disk of the store
            raise self._environment.explain(error) from error

    def _bury(self, work: Work, wanted: Wanted) -> None:
        """Mark the rows of the set that have a wanted id as dead."""
        for number, segment in work.old.items():
            dead = work.dead.get(number, NONE_DEAD)
            with self._environment.reading() as transaction:
                rows = wanted.rows_by_id(transaction, segment, dead)
            if len(rows):
                work.dead[number] = np.union1d(dead, rows).astype(np.uint32)
                work.tally.removed += len(rows)

    def _stage(self) -> Stage:
        return Stage(self._environment, piece_bytes=self._limits.piece_bytes)

    def _read_current(self) -> Manifest:
        with self._environment.reading() as transaction:
            return read_current(transaction)

    def _work(self, stage: Stage, current: Manifest, name: str) -> Work:
        """Begin a change of a set, with what it holds now."""
        if name not in current.sets:
            return Work(stage, current)
        entry = current.sets[name]
        with self._environment.reading() as transaction:
            old = {number: read_segment(transaction, number) for number in entry.segments}
            return Work(stage, current, old, read_tombstones(transaction, entry))

    def _merge(self, work: Work, runs: dict[Shape, list[Run]], *, keep_old: bool) -> list[Segment]:
        """Write the new segments of a set, shape by shape; return them, and those that are kept."""
        by_shape: dict[Shape, list[Segment]] = {}
        for segment in work.old.values():
            by_shape.setdefault(tuple(segment.types), []).append(segment)
        old_rows = sum(segment.rows for segment in work.old.values())
        total = old_rows + sum(run.rows for each in runs.values() for run in each)
        done = 0

        def on_rows(rows: int) -> None:
            nonlocal done
            done += rows
            self._on_phase("merging", done, total)

        segments = []
        for shape in sorted(by_shape.keys() | runs.keys()):
            new, old = runs.get(shape, []), by_shape.get(shape, [])
            if not new and keep_old:
                segments.extend(old)
                on_rows(sum(segment.rows for segment in old))
            elif not new:
                work.tally.removed += sum(map(work.live_rows, old))
            else:
                merged, beside = _choose_merged(old, sum(run.rows for run in new)) if keep_old else (old, [])
                stored = [work.stored(segment) for segment in merged]
                others = [work.stored(segment) for segment in beside]
                sources: list[RowSource] = [*stored, *new]
                writer = SegmentWriter(
                    work.stage,
                    shape,
                    work.book.labels,
                    most_rows=sum(source.rows for source in sources),
                    most_id_bytes=sum(source.id_bytes for source in sources),
                )
                merge(writer, stored, new, work.tally, keep_old=keep_old, beside=others, on_rows=on_rows)
                written = writer.finish()
                segments.extend([*beside, written] if written else beside)
                on_rows(sum(segment.rows for segment in beside))
        return segments

    def _publish(
        self, work: Work, sets: dict[str, HashSet], action: str, now: float, segments: list[Segment]
    ) -> int:
        segments = [segment for segment in segments if segment.number not in work.old]
        generation = work.current.generation + 1
        self._on_phase("publishing", 0, 0)
        work.stage.flush()
        plan = plan_filters(work.stage, work.current, sets, segments)
        work.stage.flush()
        work.stage.check_space(plan.piece_bytes)
        manifest = Manifest(generation, now, action, sets, plan.numbers)

        def commit(transaction: Any) -> None:
            transaction.put(KEY_FORMAT, str(FORMAT).encode())
            transaction.put(KEY_ID, secrets.token_bytes(ID_BYTES), overwrite=False)
            for segment in segments:
                transaction.put(segment_key(segment.number), segment.to_json())
            for number, header in plan.headers.items():
                transaction.put(filter_key(number), header.to_json())
            for key, piece in plan.pieces:
                transaction.put(key, piece.data)
            transaction.put(manifest_key(generation), manifest.to_json())
            transaction.put(KEY_CURRENT, generation.to_bytes(8, "little"))
            self._prune(transaction, manifest)

        self._environment.write(commit, room=(8 << 20) + plan.piece_bytes)
        return generation

    def _prune(self, transaction: Any, current: Manifest) -> None:
        """Delete the generations that are not kept, and every object that no kept one names."""
        manifests = list(read_manifests(transaction))
        numbers = kept_generations(manifests, self._limits.keep_generations)
        kept = [manifest for manifest in manifests if manifest.generation in numbers]
        for manifest in manifests:
            if manifest.generation not in numbers:
                transaction.delete(manifest_key(manifest.generation))
        delete_objects(transaction, find_orphans(transaction, kept, current))


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownRole(f"unknown role {role!r}; a set's role is one of {', '.join(ROLES)}")


def _choose_merged(old: list[Segment], new_rows: int) -> tuple[list[Segment], list[Segment]]:
    """Choose which segments to merge appended rows with, and which to leave as they are.

    A segment stays as long as it is many times larger than what would be merged into it. So adding
    one entry does not rewrite millions, and a set has few segments, as each is several times larger
    than the next.
    """
    merged: list[Segment] = []
    rows = new_rows
    ascending = sorted(old, key=lambda segment: segment.rows)
    while ascending and ascending[0].rows <= _MERGE_BELOW * rows:
        merged.append(ascending.pop(0))
        rows += merged[-1].rows
    return merged, ascending


def _entries(manifest: Manifest) -> int:
    return sum(entry.entries for entry in manifest.sets.values())
