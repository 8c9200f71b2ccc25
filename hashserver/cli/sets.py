"""`hashserver sets`: what is in the store, how it came to be, and undoing it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from hashserver.cli.options import DataDir, Json, Wait
from hashserver.settings import load_settings
from hashserver.warmup import choose_cache

if TYPE_CHECKING:
    from hashcore import Outcome, Store

app = typer.Typer(
    help="""Show the hash sets, their history, and undo changes.

[bold]Examples[/bold]

  hashserver sets

  hashserver sets history

  hashserver sets rollback --to 41

  hashserver sets remove police
""",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


def _open(data_dir: Any) -> Store:
    settings = load_settings(data_dir=data_dir)
    choose_cache(settings.data_dir)
    from hashserver.app import open_store

    return open_store(settings)


def _print(table: Table) -> None:
    """Print a table as wide as it needs to be where no terminal bounds it."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


def _say(sentence: str) -> None:
    print(f"hashserver: {sentence}", file=sys.stderr)


@app.callback()
def show(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the hash sets of the current generation."""
    context.obj = data_dir
    if context.invoked_subcommand is not None:
        return
    with _open(data_dir) as store, store.read() as snapshot:
        from hashserver.routes.sets import describe

        described = describe(snapshot.manifest)
    if as_json:
        print(orjson.dumps(described).decode())
        return
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

    Example:  hashserver sets history --json
    """
    from hashserver.routes.sets import describe, timestamp

    with _open(data_dir or context.obj) as store:
        manifests = store.history()
    if as_json:
        rows = [{"action": manifest.action, **describe(manifest)} for manifest in manifests]
        print(orjson.dumps(rows).decode())
        return
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
    name: Annotated[str, typer.Argument(help="Name of the set.")],
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Take a set out of the store; `sets rollback` brings it back.

    Example:  hashserver sets remove police
    """
    _change(
        data_dir or context.obj,
        lambda store: store.remove(name, now=time.time(), timeout=wait, on_wait=_say),
        lambda outcome: f"set {name} removed ({outcome.tally.removed:,} entries); generation {outcome.generation}",
        as_json,
    )


@app.command()
def rollback(
    context: typer.Context,
    to: Annotated[int, typer.Option("--to", help="Generation whose sets to bring back.")],
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring back the sets of an earlier generation, as a new generation.

    Example:  hashserver sets rollback --to 41
    """
    _change(
        data_dir or context.obj,
        lambda store: store.rollback(to, now=time.time(), timeout=wait, on_wait=_say),
        lambda outcome: (
            f"generation {outcome.generation} holds the sets of generation {to}"
            if outcome.changed
            else f"nothing to do: generation {outcome.generation} holds the sets of generation {to} already"
        ),
        as_json,
    )


def _change(
    data_dir: Any, change: Callable[[Store], Outcome], sentence: Callable[[Outcome], str], as_json: bool
) -> None:
    with _open(data_dir) as store:
        outcome = change(store)
    if as_json:
        print(orjson.dumps({"generation": outcome.generation, "changed": outcome.changed}).decode())
    else:
        print(sentence(outcome))
