"""`hashserver load`: a file becomes a hash set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashcore.text.printable import printable
from hashserver.cli.commands import Commands
from hashserver.cli.folders import open_data_folder
from hashserver.cli.options import (
    Columns,
    DataDir,
    Distances,
    FormatName,
    HashTypeName,
    Json,
    Wait,
    read_columns,
    read_distances,
)
from hashserver.cli.output import check_table
from hashserver.errors import BadInput
from hashserver.kernels import choose_cache
from hashserver.sets.names import RULE, is_set_name
from hashserver.settings import load_settings

if TYPE_CHECKING:
    from hashcore import Outcome, Store
    from hashserver.readers import Source

HELP = """Load a file into a hash set and publish it.

Reads CSV, plain text, NCMEC's XML, NSRL, ThreatExchange's CSV, checksum listings, JSON Lines and Parquet, also
compressed with gzip or zstd; - reads standard input. The format is detected. The file replaces the contents of the
set unless --append is given. Rejected lines go to a reject file with the reason. A new set from NSRL is known-good
unless --role says otherwise; the role of an existing set is changed by `hashserver sets role` alone.

A load that would remove more than a fifth of the set, or all of it, or that rejects more than 1 % of the rows,
changes nothing and ends with exit code 2, as does a file that holds no entry or ends within a line. With --force
they are loaded.

Examples:

  hashserver load police-2026.csv --set police --category baseline
  hashserver load nsrl.csv.gz --set nsrl --role known-good
  hashserver load pictures.parquet --set noisy --max-distance pdq=20
  zcat more.txt.gz | hashserver load - --set police --append --type md5
"""


app = Commands()


@app.command("load", help=HELP)
def load(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to load; - for standard input.")],
    name: Annotated[str, typer.Option("--set", metavar="NAME", help="Name of the hash set.")],
    category: Annotated[
        str | None, typer.Option(metavar="CATEGORY", help="Category of rows that have none.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE", help="match or known-good.", show_default="that of the set; match for a new one"
        ),
    ] = None,
    append: Annotated[
        bool, typer.Option("--append/--replace", help="Add to the set, or replace what it holds.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Load the file even if it removes or rejects more than the limits allow."),
    ] = False,
    max_distance: Distances = None,
    hash_type: HashTypeName = None,
    format_name: FormatName = None,
    column: Columns = None,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reject file.", show_default="FILE.rejects in the current folder"),
    ] = None,
    wait: Wait = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Load a file, and print what changed in the set; see `HELP`. Returns the exit code."""
    settings = load_settings(data_dir=data_dir)
    _check_name(name)
    distances, columns = read_distances(max_distance), read_columns(column)
    choose_cache(settings.data_dir, create=True)
    from hashcore import LoadOptions, Planned
    from hashcore.errors import Refused
    from hashserver.cli.progress import bytes_progress
    from hashserver.cli.rejects import RejectFile
    from hashserver.ledger.publications import audited
    from hashserver.ledger.tables.audit import shell_user
    from hashserver.readers import choose_format, open_source, read_rows
    from hashserver.readers.read_ahead import read_ahead
    from hashserver.sets.load_limits import FileRead, LoadLimits

    reject_path = rejects or Path(("stdin" if file == "-" else Path(file).name) + ".rejects")
    check_table(reject_path, "line", "reason", "text")
    limits = LoadLimits(settings.load_most_removed, settings.load_most_rejected)
    started = time.monotonic()
    with (
        _telling_why(name, as_json, (BadInput, Refused)),
        open_source(file, columns) as source,
        open_data_folder(settings, create=True) as folder,
        RejectFile(reject_path) as reject_file,
        bytes_progress("rows") as progress,
    ):
        task = progress.add_task("reading", total=source.total_bytes, count=0)
        read = 0

        def on_phase(phase: str, done: int, total: int) -> None:
            nonlocal read
            if phase == "reading":
                read = done
                progress.update(task, completed=source.bytes_read, count=done)
            else:
                progress.update(task, description=phase, count=max(done, progress.tasks[0].fields["count"]))

        def look_over(planned: Planned) -> None:
            if force:
                return
            held = FileRead(
                source.name,
                read,
                reject_file.count,
                reject_file.first_reason,
                reject_file.last_line,
                source.not_checkable,
                source.unfinished_line,
            )
            limits.look_over(name, planned, held, append=append)

        chosen = choose_format(source, format_name, hash_type)
        role = role or _usual_role(folder.store, name, chosen, source)
        rows = read_rows(source, format=chosen, hash_type=hash_type, on_reject=reject_file.add)
        outcome = folder.store.load(
            name,
            read_ahead(rows),
            LoadOptions(role=role, category=category, append=append, distances=distances, look_over=look_over),
            now=time.time(),
            on_reject=reject_file.add,
            on_phase=on_phase,
            timeout=wait,
            on_wait=lambda sentence: print(f"hashserver: {sentence}", file=sys.stderr),
            on_done=audited(
                folder.ledger,
                folder.store,
                who=shell_user(),
                action="load",
                subject=name,
                **({"forced": True} if force else {}),
            ),
        )
        rejected = reject_file.count
    summary = _summary(name, outcome, rejected, reject_path, time.monotonic() - started)
    summary["without_hash"] = source.not_checkable
    summary["hashes_left_out"] = source.hashes_left_out
    summary["ignored_columns"] = source.ignored_columns
    print(orjson.dumps(summary).decode() if as_json else _sentences(summary))
    return 0


@contextmanager
def _telling_why(name: str, as_json: bool, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """Print why a load was refused as JSON, too, where that is wanted."""
    from hashserver.sets.load_limits import LoadRefused

    try:
        yield
    except kinds as error:
        if as_json:
            figures = {"limit": error.limit, **error.figures} if isinstance(error, LoadRefused) else {}
            refused = {"reason": str(error), **figures}
            print(orjson.dumps({"set": name, "changed": False, "refused": refused}).decode())
        raise


def _usual_role(store: Store, name: str, format: str, source: Source) -> str | None:
    """The role of a new set from a source of known software; None if the store decides."""
    from hashserver.readers import default_role

    role = default_role(source, format)
    with store.read() as snapshot:
        if role is None or name in snapshot.manifest.sets:
            return None
    print(
        f"hashserver: {name} becomes a {role} set, because it comes from NSRL; use --role match to override that",
        file=sys.stderr,
    )
    return role


def _check_name(name: str) -> None:
    if not is_set_name(name):
        raise typer.BadParameter(f"{name!r} is not a valid name for a set; {RULE}", param_hint="--set")


def _summary(name: str, outcome: Outcome, rejected: int, reject_path: Path, seconds: float) -> dict[str, Any]:
    tally = outcome.tally
    return {
        "set": name,
        "generation": outcome.generation,
        "changed": outcome.changed,
        "entries": outcome.entries,
        "added": tally.added,
        "already_there": tally.unchanged,
        "removed": tally.removed,
        "duplicates": tally.duplicates,
        "rejected": rejected,
        "reject_file": str(reject_path) if rejected else None,
        "seconds": round(seconds, 3),
    }


def _sentences(summary: dict[str, Any]) -> str:
    lines = [
        f"set {summary['set']}: {summary['added']:,} added, {summary['already_there']:,} already there, "
        f"{summary['removed']:,} removed, {summary['rejected']:,} rejected; {summary['entries']:,} entries",
        f"generation {summary['generation']} published in {summary['seconds']:.1f} s"
        if summary["changed"]
        else f"nothing changed; still generation {summary['generation']}",
    ]
    if summary["duplicates"]:
        lines.append(f"{summary['duplicates']:,} rows are duplicates of others in the file")
    if summary["without_hash"]:
        lines.append(f"{summary['without_hash']:,} rows have no hash, such as objects uploaded in parts")
    if summary["hashes_left_out"]:
        lines.append(
            f"{summary['hashes_left_out']:,} perceptual hashes of a quality below 50 were left out; the other "
            "hashes of their rows were loaded"
        )
    if summary["ignored_columns"]:
        lines.append(f"columns that were ignored: {printable(', '.join(summary['ignored_columns']))}")
    if summary["rejected"]:
        lines.append(f"rejected lines and the reasons: {summary['reject_file']}")
    return "\n".join(lines)
