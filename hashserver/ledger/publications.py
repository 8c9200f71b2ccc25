"""Lines in the audit log for what is published, also by a process that was killed before writing.

All of it runs while the store's writer lock is held: nobody is between publishing and writing a
line then, so a generation without a line comes from a process that was killed, or that could not
write the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hashcore import Outcome, Store
from hashcore.disk.layout import Manifest
from hashcore.errors import StoreBusy
from hashserver.ledger.database import Ledger, LedgerError
from hashserver.ledger.known_store import ACCEPTED, announce
from hashserver.ledger.tables.audit import AuditLine, lines_since, newest_of, write_audit
from hashserver.times import DAY_MS

FOUND_LATER = "unknown (found later)"
_MARGIN_MS = DAY_MS  # clocks are set back now and then


def audited(
    ledger: Ledger, store: Store, *, who: str, action: str, subject: str, **details: Any
) -> Callable[[Outcome], None]:
    """The `on_done` of a change of the store, which is called before the writer lock is released.

    Call it before the change: it notes in the ledger that there will be a first generation.

    Args:
        ledger: of the data folder.
        store: the one that is changed.
        who: `user NAME` of a shell, or `party NAME`.
        action: such as `sets remove`, in the words of the command line.
        subject: name of the set, or what else was changed.
        details: more about the state after it; never hash values.

    Returns:
        A function that raises a LedgerError when the line cannot be written; the change is
        published then.

    Raises:
        LedgerError: the ledger cannot be written; nothing is published yet.
    """
    announce(ledger)

    def note(outcome: Outcome) -> None:
        if not outcome.changed:
            return
        tally = outcome.tally
        before = {"generation": outcome.generation - 1, "entries": _entries_before(store, outcome)}
        after = {"entries": outcome.entries, "added": tally.added, "removed": tally.removed, **details}
        id = _id_of(store)
        after |= {"generation": outcome.generation, "store": id}
        try:
            with ledger.transaction() as connection:
                _add_missing(ledger, id, store.history(), up_to=outcome.generation - 1)
                write_audit(connection, who=who, action=action, subject=subject, before=before, after=after)
        except LedgerError as error:
            raise LedgerError(
                f"generation {outcome.generation} is published, but the audit log has no line for it: {error}"
            ) from error

    return note


def find_unaudited(ledger: Ledger, store: Store) -> int:
    """Add lines for generations that have none, and return how many.

    Nothing is done while somebody is changing the store: that change does it. The store must be the
    one that the ledger knows, see `hashserver.ledger.known_store`.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    try:
        with store.unchanging(timeout=0.0), ledger.transaction():
            return _add_missing(ledger, _id_of(store), store.history())
    except StoreBusy:
        return 0


def add_ledger(store: Store) -> None:
    """Make a ledger beside a store that was filled without one, as benchmarks and tests do."""
    with Ledger(store.folder, create=True) as ledger:
        find_unaudited(ledger, store)


def _id_of(store: Store) -> str:
    store.refresh()
    with store.read() as snapshot:
        return snapshot.store_id


def _add_missing(ledger: Ledger, id: str, history: list[Manifest], up_to: int | None = None) -> int:
    kept = [manifest for manifest in history if manifest.generation]
    if not kept:
        return 0
    since = int(min(manifest.created for manifest in kept) * 1000) - _MARGIN_MS
    accepted = newest_of(ledger.connection, *ACCEPTED)
    known = {
        line.after.get("generation")
        for line in lines_since(ledger.connection, since)
        if line.after.get("store", id) == id and _still_holds(line, accepted)
    }
    missing = [
        manifest
        for manifest in kept
        if manifest.generation not in known and (up_to is None or manifest.generation <= up_to)
    ]
    for manifest in missing:
        after = {"generation": manifest.generation, "store": id, "entries": _entries(manifest)}
        after["action"] = manifest.action
        write_audit(
            ledger.connection,
            who=FOUND_LATER,
            action="publish",
            subject=f"generation {manifest.generation}",
            before={"generation": manifest.generation - 1},
            after=after,
        )
    return len(missing)


def _still_holds(line: AuditLine, accepted: AuditLine | None) -> bool:
    """Whether a line is of the store as it is: one that is accepted uses numbers again."""
    if accepted is None or line.number >= accepted.number:
        return True
    return bool(line.after.get("generation", 0) <= accepted.after.get("generation", 0))


def _entries_before(store: Store, outcome: Outcome) -> int:
    """Entries that the set had; of all sets when all were rolled back."""
    if outcome.tally.changes:
        return outcome.entries - outcome.tally.added + outcome.tally.removed
    before = [each for each in store.history() if each.generation == outcome.generation - 1]
    return _entries(before[0]) if before else 0


def _entries(manifest: Manifest) -> int:
    return sum(entry.entries for entry in manifest.sets.values())
