"""`hashserver check`: check a listing of hashes against a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashcore.text.printable import printable
from hashserver.cli.commands import Commands
from hashserver.cli.options import (
    LOCAL_SERVER,
    ApiKey,
    Columns,
    Distances,
    FormatName,
    HashTypeName,
    Json,
    ServerUrl,
    read_columns,
    read_distances,
)
from hashserver.cli.output import check_table
from hashserver.cli.progress import bytes_progress, short
from hashserver.errors import BadInput

if TYPE_CHECKING:
    from hashserver.provider.listing import ListingResult

HELP = """Check the hashes of a listing against a server.

Reads listings of md5sum, sha1sum, hashdeep and rclone, listings and inventories of S3 buckets, CSV, plain
text, JSON and Parquet, also compressed with gzip or zstd; - reads standard input. Prints what matched, and how
many lines could not be checked.

Exit codes: 0 nothing matched, 1 something matched, 2 bad input, 3 trouble with the server or the network, 4 there
are lines that could not be checked, whether or not something matched.

Examples:

  md5sum /srv/www/*.jpg | hashserver check -
  hashserver check sums.md5 --server https://hashes.example.org -o hits.csv
  rclone lsjson --hash -R remote: | hashserver check -
  aws s3api list-objects-v2 --bucket uploads | hashserver check -
"""

NOT_COMPLETE = 4
_NOT_CHECKABLE = "not-checkable"

app = Commands()


@app.command("check", help=HELP)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Listing to check; - for standard input.")],
    server: ServerUrl = LOCAL_SERVER,
    key: ApiKey = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the matches here.", show_default="standard output"
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="csv or jsonl.", show_default="by the name of the file, else csv"),
    ] = None,
    connections: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Concurrent requests.")] = 4,
    batch: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="Hashes per request.")] = 50_000,
    max_distance: Distances = None,
    hash_type: HashTypeName = None,
    format_name: FormatName = None,
    column: Columns = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Kinds of lines that were not checked and do not change the exit code: not-checkable.",
        ),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Accept a server that has no sets with hashes of these types.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Check a listing, and print what matched; see `HELP`. Returns the exit code."""
    from hashserver.client import Client
    from hashserver.provider.listing import check_listing
    from hashserver.provider.matches import open_report, report_format
    from hashserver.provider.served import check_served
    from hashserver.readers import open_source

    distances = read_distances(max_distance)
    accepts_not_checkable = _accepts_not_checkable(accept)
    chosen = report_format(output_format or ("jsonl" if as_json else None), output)
    check_table(output, "line", "name", "type")
    with (
        open_source(file, read_columns(column)) as source,
        Client(server, key, connections=connections) as client,
        open_report(output, chosen) as report,
        bytes_progress("hashes") as progress,
    ):
        task = progress.add_task("checking", total=source.total_bytes, count=0)
        result = check_listing(
            source,
            client,
            report,
            format=format_name,
            hash_type=hash_type,
            batch=batch,
            distances=distances,
            on_progress=lambda checked: progress.update(task, completed=source.bytes_read, count=checked),
        )
        if result.checked and not result.matched and not allow_empty:
            check_served(client.sets(), result.types, client.server)
    _summarise(result, source.ignored_columns, as_json)
    sys.stdout.flush()
    if (result.rejected or result.not_checkable) and not result.checked:
        return BadInput.exit_code
    if result.rejected or (result.not_checkable and not accepts_not_checkable):
        return NOT_COMPLETE
    return 1 if result.matched else 0


def _accepts_not_checkable(given: str | None) -> bool:
    if given not in (None, _NOT_CHECKABLE):
        raise typer.BadParameter(f"{given} is not {_NOT_CHECKABLE}", param_hint="--accept")
    return given is not None


def _summarise(result: ListingResult, ignored_columns: list[str], as_json: bool) -> None:
    """Print the totals on standard error, as JSON too, in the last line, for programs."""
    rate = f"{short(result.checked / result.seconds)}/s" if result.seconds else "at once"
    print(
        f"hashserver: {result.checked:,} hashes checked ({rate}), {result.matched:,} matched, "
        f"{result.rejected:,} lines not checked, generation {result.generations}"
        + (f", {result.not_checkable:,} not checkable" if result.not_checkable else "")
        + (f", {result.withdrawn:,} withdrawn" if result.withdrawn else ""),
        file=sys.stderr,
    )
    if result.not_checkable:
        print(
            "hashserver: not checkable: the listing has no hash of the contents, as of objects that were uploaded "
            "in parts or are encrypted; hashserver scan can check them",
            file=sys.stderr,
        )
    if ignored_columns:
        names = printable(", ".join(ignored_columns))
        print(f"hashserver: columns that were ignored: {names}; see --column", file=sys.stderr)
    for reject in result.first_rejects:
        print(f"hashserver: line {reject.line}: {printable(reject.reason)}", file=sys.stderr)
    if as_json:
        summary = {
            "checked": result.checked,
            "matched": result.matched,
            "not_checked": result.rejected,
            "not_checkable": result.not_checkable,
            "withdrawn": result.withdrawn,
            "complete": result.complete,
            "ignored_columns": ignored_columns,
            "generations": sorted(result.numbers),
            "seconds": round(result.seconds, 3),
        }
        print(json.dumps(summary), file=sys.stderr)
