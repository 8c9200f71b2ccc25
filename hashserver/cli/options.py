"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="FOLDER", help="Data folder of the server.", show_default="hashserver-data"
    ),
]
ServerUrl = Annotated[str, typer.Option("--server", metavar="URL", envvar="HASHSERVER_URL", help="The server.")]
LOCAL_SERVER = "http://127.0.0.1:8080"
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", envvar="HASHSERVER_KEY", help="API key; better set in the environment than here."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HashTypeName = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Hash type, if the file does not say: md5, sha1, sha256, pdq, phash or photodna.",
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv, text, sums, jsonl, parquet, vics, ncmec, exchange, exchange-csv, tat, nsrl, rds, hashdeep, "
        "rclone, s3-inventory or s3-listing.",
        show_default="detected",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="MEANING=NAME",
        help='Which column of CSV, Parquet or JSON Lines holds what, such as md5="MD5 of file"; may be repeated.',
        show_default="by their names",
    ),
]
FastDecode = Annotated[
    bool,
    typer.Option(
        "--fast-decode",
        help="Decode JPEGs of 2,048 pixels a side or more at a reduced size: twice as fast, less exact; see "
        "docs/scanning.md.",
    ),
]
Distances = Annotated[
    list[str] | None,
    typer.Option(
        "--max-distance",
        metavar="TYPE=DISTANCE",
        help="Largest distance at which a perceptual hash matches, such as pdq=31; may be repeated.",
    ),
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="How long to wait while another process changes the store.",
        show_default="no limit",
    ),
]


def read_distances(given: list[str] | None) -> dict[str, int]:
    """Distances by hash type, of texts such as `pdq=31`.

    Raises:
        BadParameter: a text does not have that form, or the type does not have that distance.
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


def read_columns(given: list[str] | None) -> dict[str, str]:
    """Names of columns by what they hold, of texts such as `md5=MD5 of file`.

    Raises:
        BadParameter: a text does not have that form, or is about something that no column holds.
    """
    from hashserver.readers.columns import ROLES

    columns: dict[str, str] = {}
    for item in given or []:
        role, _, name = item.partition("=")
        role = role.strip().lower()
        if role not in ROLES or not name.strip():
            words = ", ".join(ROLES)
            raise typer.BadParameter(
                f"{item!r} is not of the form md5=NAME; a column can hold {words}", param_hint="--column"
            )
        if role in columns:
            raise typer.BadParameter(f"{role} is given twice", param_hint="--column")
        columns[role] = name.strip()
    return columns
