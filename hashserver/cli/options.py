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
    typer.Option("--type", help="Hash type where the file does not tell: md5, sha1, sha256, pdq, phash."),
]
FormatName = Annotated[
    str | None, typer.Option("--format", help="csv, text, sums, jsonl or parquet, where it is not detected.")
]
Wait = Annotated[
    float | None,
    typer.Option("--wait", help="Seconds to wait while another process changes the store.  [default: no limit]"),
]
