"""`hashserver load`: a file becomes a hash set."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.options import DataDir, Distances, FormatName, HashTypeName, Json, Wait, read_distances
from hashserver.kernels import choose_cache
from hashserver.sets.names import RULE, is_set_name
from hashserver.settings import load_settings

if TYPE_CHECKING:
    from hashcore import Outcome, Store

HELP = """Load a file into a hash set and publish it.

Reads CSV, plain text, NCMEC's XML, NSRL, ThreatExchange's CSV, checksum listings, JSON Lines and Parquet, also
compressed with gzip or zstd; - reads standard input. The format is detected. The file replaces the contents of the
set unless --append is given. Rejected lines go to a reject file with the reason. A new set from NSRL is known-good
unless --role says otherwise.

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
    max_distance: Distances = None,
    hash_type: HashTypeName = None,
    format_name: FormatName = None,
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
    distances = read_distances(max_distance)
    choose_cache(settings.data_dir, create=True)
    from hashcore import LoadOptions
    from hashserver.cli.progress import bytes_progress
    from hashserver.cli.rejects import RejectFile
    from hashserver.data_folder.store import open_store
    from hashserver.ledger import Ledger
    from hashserver.ledger.publications import audited
    from hashserver.ledger.tables.audit import shell_user
    from hashserver.readers import choose_format, open_source, read_rows
    from hashserver.readers.read_ahead import read_ahead

    reject_path = rejects or Path(("stdin" if file == "-" else Path(file).name) + ".rejects")
    started = time.monotonic()
    with (
        open_source(file) as source,
        open_store(settings) as store,
        Ledger(settings.data_dir) as ledger,
        RejectFile(reject_path) as reject_file,
        bytes_progress("rows") as progress,
    ):
        task = progress.add_task("reading", total=source.total_bytes, count=0)

        def on_phase(phase: str, done: int, total: int) -> None:
            if phase == "reading":
                progress.update(task, completed=source.bytes_read, count=done)
            else:
                progress.update(task, description=phase, count=max(done, progress.tasks[0].fields["count"]))

        chosen = choose_format(source, format_name, hash_type)
        role = role or _usual_role(store, name, chosen)
        rows = read_rows(source, format=chosen, hash_type=hash_type, on_reject=reject_file.add)
        outcome = store.load(
            name,
            read_ahead(rows),
            LoadOptions(role=role, category=category, append=append, distances=distances),
            now=time.time(),
            on_reject=reject_file.add,
            on_phase=on_phase,
            timeout=wait,
            on_wait=lambda sentence: print(f"hashserver: {sentence}", file=sys.stderr),
            on_done=audited(ledger, store, who=shell_user(), action="load", subject=name),
        )
        rejected = reject_file.count
    summary = _summary(name, outcome, rejected, reject_path, time.monotonic() - started)
    summary["without_hash"] = source.not_checkable
    print(orjson.dumps(summary).decode() if as_json else _sentences(summary))
    return 0


def _usual_role(store: Store, name: str, format: str) -> str | None:
    """The role of a new set from a source of known software; None if the store decides."""
    from hashserver.readers import DEFAULT_ROLES

    role = DEFAULT_ROLES.get(format)
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
    if summary["rejected"]:
        lines.append(f"rejected lines and the reasons: {summary['reject_file']}")
    return "\n".join(lines)
