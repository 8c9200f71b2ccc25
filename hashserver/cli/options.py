"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the store.  [default: hashserver-data]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HashTypeName = Annotated[
    str | None,
    typer.Option(
        "--type", help="Hash type where the file does not tell: md5, sha1, sha256, pdq, phash, photodna."
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="csv, text, sums, jsonl, parquet, vics, ncmec, exchange, exchange-csv, tat, nsrl, rds, hashdeep, "
        "rclone, s3-inventory or s3-listing, where it is not detected.",
    ),
]
FastDecode = Annotated[
    bool,
    typer.Option(
        "--fast-decode",
        help="Decode JPEGs of 2,048 pixels a side and more to less: twice as fast, and less exact; see the docs.",
    ),
]
Distances = Annotated[
    list[str] | None,
    typer.Option(
        "--max-distance", help="Greatest distance of a perceptual type, such as pdq=31; may be repeated."
    ),
]
Wait = Annotated[
    float | None,
    typer.Option("--wait", help="Seconds to wait while another process changes the store.  [default: no limit]"),
]


def read_distances(given: list[str] | None) -> dict[str, int]:
    """`pdq=31` and the like as numbers by type.

    Raises:
        BadParameter: it is not of that form, or the type has no such distance.
    """
    from hashcore.errors import BadDistance, UnknownHashType
    from hashcore.hashtypes import check_distance

    distances = {}
    for item in given or []:
        name, _, number = item.partition("=")
        if not (number.isascii() and number.isdigit()):
            raise typer.BadParameter(f"{item!r} is not of the form pdq=31", param_hint="--max-distance")
        try:
            check_distance(name, int(number))
        except (BadDistance, UnknownHashType) as error:
            raise typer.BadParameter(str(error), param_hint="--max-distance") from None
        distances[name] = int(number)
    return distances
