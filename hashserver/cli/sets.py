"""`hashserver sets`: the sets in the store, their history, and undoing changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.options import DataDir, Json, Wait
from hashserver.kernels import choose_cache
from hashserver.settings import load_settings

if TYPE_CHECKING:
    from rich.table import Table

    from hashcore import KnownEntry, Outcome, Snapshot, Store

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the set.")]
Ids = Annotated[list[str], typer.Argument(metavar="IDS", help="External ids of entries.")]

app = Commands(
    help="""Show the hash sets and their history, and undo changes.

Examples:

  hashserver sets
  hashserver sets history
  hashserver sets rollback --to 41
  hashserver sets remove police
  hashserver sets show police A-17
  hashserver sets withdraw police A-17 A-18
  hashserver sets quarantine police A-17
""",
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
)


def _open(data_dir: Any) -> Store:
    settings = load_settings(data_dir=data_dir)
    choose_cache(settings.data_dir)
    from hashserver.data_folder.store import open_store

    return open_store(settings)


def _print(table: Table) -> None:
    """Print a table, as wide as it needs to be where no terminal limits it."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


def _say(sentence: str) -> None:
    print(f"hashserver: {sentence}", file=sys.stderr)


@app.callback()
def list_sets(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the hash sets of the current generation."""
    context.obj = data_dir
    if context.invoked_subcommand is not None:
        return
    with _open(data_dir) as store, store.read() as snapshot:
        from hashserver.sets.describe import describe

        described = describe(snapshot.manifest)
    if as_json:
        print(orjson.dumps(described).decode())
        return
    from rich.table import Table

    table = Table(title=f"generation {described['generation']}")
    for heading in ("set", "role", "entries", "hashes", "last change", "added", "removed"):
        numeric = heading in ("entries", "added", "removed")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=heading != "hashes")
    for entry in described["sets"]:
        hashes = ", ".join(f"{name} {count:,}" for name, count in entry["hashes"].items())
        numbers = [f"{entry[key]:,}" for key in ("entries", "added", "removed")]
        table.add_row(entry["name"], entry["role"], numbers[0], hashes, entry["changed"], *numbers[1:])
    _print(table)


@app.command()
def history(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the generations that are kept, newest last.

    Example:

      hashserver sets history --json
    """
    from hashserver.sets.describe import describe
    from hashserver.times import timestamp

    with _open(data_dir or context.obj) as store:
        manifests = store.history()
    if as_json:
        rows = [{"action": manifest.action, **describe(manifest)} for manifest in manifests]
        print(orjson.dumps(rows).decode())
        return
    from rich.table import Table

    table = Table("generation", "published", "action", "sets", "entries")
    for manifest in manifests:
        entries = sum(entry.entries for entry in manifest.sets.values())
        sets = ", ".join(sorted(manifest.sets)) or "none"
        row = (str(manifest.generation), timestamp(manifest.created), manifest.action, sets, f"{entries:,}")
        table.add_row(*row)
    _print(table)


@app.command()
def remove(
    context: typer.Context,
    name: Name,
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Remove a set from the store; `sets rollback` brings it back.

    Example:

      hashserver sets remove police
    """
    _change(
        data_dir or context.obj,
        "sets remove",
        name,
        lambda store, note: store.remove(name, now=time.time(), timeout=wait, on_wait=_say, on_done=note),
        lambda outcome: f"set {name} removed ({outcome.tally.removed:,} entries); generation {outcome.generation}",
        as_json,
    )


@app.command()
def role(
    context: typer.Context,
    name: Name,
    new_role: Annotated[str, typer.Argument(metavar="ROLE", help="match or known-good.")],
    because: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit log.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Change what a set is for: to report matches, or to keep matches from being reported.

    All of its entries change sides at once. `sets rollback` undoes it.

    Example:

      hashserver sets role nsrl known-good --because "loaded as match"
    """
    if not because.strip():
        raise typer.BadParameter("say why", param_hint="--because")
    with _open(data_dir or context.obj) as store:
        with store.read() as snapshot:
            from hashcore.disk.layout import get_set

            before = get_set(snapshot.manifest, name)
        if before.role != new_role and new_role in _EFFECTS and not yes:
            effect = f"{before.entries:,} entries of set {name} change sides: {_EFFECTS[new_role]}"
            _say(effect)
            if not sys.stdin.isatty():
                raise typer.BadParameter("add --yes to change the role without a question", param_hint="--yes")
            typer.confirm("Change the role?", abort=True, err=True)
        details = {"role": new_role, "role_before": before.role, "because": because}
        with _audited(store, "sets role", name, **details) as note:
            outcome = store.change_role(name, new_role, now=time.time(), timeout=wait, on_wait=_say, on_done=note)
    if as_json:
        _print_json(outcome, role=new_role, entries=outcome.entries)
    elif outcome.changed:
        print(f"set {name} is now {new_role}: {outcome.entries:,} entries; generation {outcome.generation}")
    else:
        print(f"nothing to do: set {name} is {new_role} already")


_EFFECTS = {
    "known-good": "what they match is no longer reported, and they keep other sets from reporting it",
    "match": "what they match is reported, and they no longer keep other sets from reporting it",
}


@app.command()
def rollback(
    context: typer.Context,
    to: Annotated[int, typer.Option("--to", metavar="GENERATION", help="Generation whose sets to bring back.")],
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring back the sets of an earlier generation, as a new generation.

    Example:

      hashserver sets rollback --to 41
    """
    _change(
        data_dir or context.obj,
        "sets rollback",
        f"to generation {to}",
        lambda store, note: store.rollback(to, now=time.time(), timeout=wait, on_wait=_say, on_done=note),
        lambda outcome: (
            f"generation {outcome.generation} holds the sets of generation {to}"
            if outcome.changed
            else f"nothing to do: generation {outcome.generation} already holds the sets of generation {to}"
        ),
        as_json,
    )


@app.command()
def withdraw(
    context: typer.Context,
    name: Name,
    ids: Ids,
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Withdraw entries from a set by their external ids; `sets rollback` brings them back.

    A later load adds them again if its file holds them; to prevent that, use `sets quarantine`.

    Example:

      hashserver sets withdraw police A-17 A-18
    """
    with _open(data_dir or context.obj) as store, _audited(store, "sets withdraw", name, ids=ids) as note:
        outcome = store.withdraw(name, ids, now=time.time(), timeout=wait, on_wait=_say, on_done=note)
    if as_json:
        _print_json(outcome, removed=outcome.tally.removed, missing=list(outcome.missing))
        return
    print(f"{outcome.tally.removed:,} entries of set {name} withdrawn; generation {outcome.generation}")
    if outcome.missing:
        _say(f"set {name} has no entry with the id {', '.join(outcome.missing)}")


@app.command()
def show(
    context: typer.Context,
    name: Name,
    id: Annotated[str, typer.Argument(metavar="ID", help="External id of the entry.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show an entry of a set: its hashes, its category, and when it was added.

    Example:

      hashserver sets show police A-17
    """
    from hashserver.times import timestamp

    with _open(data_dir or context.obj) as store, store.read() as snapshot:
        entries = _find(snapshot, name, id)
    for entry in entries:
        hashes = {hash_type: digest.hex() for hash_type, digest in entry.hashes.items()}
        if as_json:
            described = {"set": name, "id": id, "category": entry.category, "added": timestamp(entry.added)}
            print(orjson.dumps({**described, "hashes": hashes}).decode())
        else:
            print(f"{id} in {name}, category {entry.category or 'none'}, added {timestamp(entry.added)}")
            for hash_type, digits in hashes.items():
                print(f"  {hash_type:8} {digits}")


@app.command()
def quarantine(
    context: typer.Context,
    name: Name,
    ids: Ids,
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Suppress entries for good: add their hashes to a known-good set named "quarantine".

    They stay suppressed, whatever later loads add, until they are withdrawn from that set.

    Example:

      hashserver sets quarantine police A-17
    """
    from hashcore import LoadOptions
    from hashserver.sets.quarantine import QUARANTINE, rows_to_quarantine

    with _open(data_dir or context.obj) as store:
        with store.read() as snapshot:
            found = {id: _find(snapshot, name, id) for id in dict.fromkeys(ids)}
        options = LoadOptions(role="known-good", append=True)
        blocks = rows_to_quarantine(found)
        details = {"of": name, "ids": list(found)}
        with _audited(store, "sets quarantine", QUARANTINE, **details) as note:
            outcome = store.load(
                QUARANTINE, blocks, options, now=time.time(), timeout=wait, on_wait=_say, on_done=note
            )
    if as_json:
        _print_json(outcome, added=outcome.tally.added)
    else:
        count = sum(map(len, found.values()))
        print(f"{count:,} entries of set {name} quarantined; generation {outcome.generation}")


def _find(snapshot: Snapshot, name: str, id: str) -> list[KnownEntry]:
    from hashcore.errors import UnknownEntry

    entries = snapshot.find(name, id)
    if not entries:
        raise UnknownEntry(f"set {name!r} has no entry with the id {id!r}")
    return entries


def _print_json(outcome: Outcome, **more: Any) -> None:
    print(orjson.dumps({"generation": outcome.generation, "changed": outcome.changed, **more}).decode())


@contextmanager
def _audited(store: Store, action: str, subject: str, **details: Any) -> Iterator[Callable[[Outcome], None]]:
    """The function that a change of the store calls when done, to write it to the audit log."""
    from hashserver.ledger import Ledger
    from hashserver.ledger.publications import audited
    from hashserver.ledger.tables.audit import shell_user

    with Ledger(store.folder) as ledger:
        yield audited(ledger, store, who=shell_user(), action=action, subject=subject, **details)


def _change(
    data_dir: Any,
    action: str,
    subject: str,
    change: Callable[[Store, Callable[[Outcome], None]], Outcome],
    sentence: Callable[[Outcome], str],
    as_json: bool,
) -> None:
    with _open(data_dir) as store, _audited(store, action, subject) as note:
        outcome = change(store, note)
    if as_json:
        _print_json(outcome)
    else:
        print(sentence(outcome))
