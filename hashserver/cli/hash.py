"""`hashserver hash`: print the hashes of files."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.options import FastDecode, Json
from hashserver.csv_writer import CsvWriter
from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from hashserver.provider.hashing.pictures import FileHashes

HELP = """Print the hashes of files: MD5, SHA-1, SHA-256 and, for pictures, PDQ and pHash.

Prints CSV with a header, which `load` and `check` read, or with --json one object per line. A file that cannot be
read is named, and the exit code is then 2.

Examples:

  hashserver hash *.jpg --json
  hashserver hash /srv/www/*.png | hashserver check -
"""


app = Commands()


@app.command("hash", help=HELP)
def hash_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Files to hash.")],
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Files to hash at once.", show_default="number of CPUs"),
    ] = None,
    fast_decode: FastDecode = False,
    as_json: Json = False,
) -> int:
    """Print the hashes of files; see `HELP`. Returns the exit code, 2 if a file cannot be read."""
    choose_cache()
    from hashserver.provider.hashing.digests import Bounds
    from hashserver.provider.hashing.pictures import hash_file

    bounds = Bounds(fast=fast_decode)

    def attempt(path: Path) -> FileHashes | str:
        try:
            return hash_file(path, bounds)
        except OSError as error:
            return f"cannot read {path}: {error.strerror}"

    failed = False
    writer = CsvWriter(sys.stdout, as_they_are=True)
    if not as_json:
        writer.write_row(["md5", "sha1", "sha256", "pdq", "phash", "name"])
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for hashed in pool.map(attempt, files):
            if isinstance(hashed, str):
                failed = True
                print(f"hashserver: {hashed}", file=sys.stderr)
            elif as_json:
                print(orjson.dumps(asdict(hashed), bytes.hex).decode())
            else:
                near = (hashed.pdq, hashed.phash) if hashed.note is None else (None, None)
                digests = (hashed.md5, hashed.sha1, hashed.sha256, *near)
                writer.write_row([*((digest or b"").hex() for digest in digests), hashed.path])
    return 2 if failed else 0
