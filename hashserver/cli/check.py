"""`hashserver check`: a listing of hashes against a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashserver.cli.options import Distances, FormatName, HashTypeName, Json, read_distances
from hashserver.cli.progress import bytes_progress, short

if TYPE_CHECKING:
    from hashserver.provider.listing import ListingResult

HELP = """Check the hashes of a listing against a server.

md5sum, sha1sum, hashdeep and rclone listings, listings and inventories of S3 buckets, CSV, plain text, JSON
and Parquet, also packed with gzip or zstd; - reads standard input. Prints what matched. Exit codes: 0 nothing
matched, 1 something matched, 2 bad input, 3 trouble with the server or the network; nothing is left out silently.

[bold]Examples[/bold]

  md5sum /srv/www/*.jpg | hashserver check - --server http://127.0.0.1:8080

  hashserver check sums.md5 --server https://hashes.example.org --output hits.csv

  rclone lsjson --hash -R remote: | hashserver check - --server https://hashes.example.org

  aws s3api list-objects-v2 --bucket b | hashserver check - --server https://hashes.example.org
"""


def check(
    file: Annotated[str, typer.Argument(help="Listing to check; - for standard input.")],
    server: Annotated[
        str, typer.Option(envvar="HASHSERVER_URL", help="URL of the server.")
    ] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None, typer.Option(envvar="HASHSERVER_KEY", help="API key; better in the environment than here.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the matches to a file.")] = None,
    output_format: Annotated[
        str | None, typer.Option(help="csv or jsonl.  [default: by the file's name, csv]", show_default=False)
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Requests under way at once.")] = 4,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="Hashes in a request.")] = 50_000,
    max_distance: Distances = None,
    hash_type: HashTypeName = None,
    format_name: FormatName = None,
    as_json: Json = False,
) -> int:
    from hashserver.client import Client
    from hashserver.provider.listing import check_listing
    from hashserver.provider.matches import open_report, report_format
    from hashserver.readers import open_source

    distances = read_distances(max_distance)
    chosen = report_format(output_format or ("jsonl" if as_json else None), output)
    with (
        open_source(file) as source,
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
    _summarise(result, as_json)
    sys.stdout.flush()
    if (result.rejected or result.not_checkable) and not result.checked:
        return 2
    return 1 if result.matched else 0


def _summarise(result: ListingResult, as_json: bool) -> None:
    """What it came to, on standard error; as JSON too, in the last line, for programs."""
    rate = f"{short(result.checked / result.seconds)}/s" if result.seconds else "at once"
    print(
        f"hashserver: {result.checked:,} hashes checked ({rate}), {result.matched:,} matched, "
        f"{result.rejected:,} lines not checked, generation {result.generations}"
        + (f", {result.not_checkable:,} not checkable" if result.not_checkable else ""),
        file=sys.stderr,
    )
    if result.not_checkable:
        print(
            "hashserver: what is not checkable has no hash of its content in the listing, as objects that were "
            "uploaded in parts or are encrypted; hashserver scan reads them",
            file=sys.stderr,
        )
    for reject in result.first_rejects:
        print(f"hashserver: line {reject.line}: {reject.reason}", file=sys.stderr)
    if as_json:
        summary = {
            "checked": result.checked,
            "matched": result.matched,
            "not_checked": result.rejected,
            "not_checkable": result.not_checkable,
            "generations": sorted(result.numbers),
            "seconds": round(result.seconds, 3),
        }
        print(json.dumps(summary), file=sys.stderr)
