"""`hashserver hash`: print the hashes of files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from hashcore.text.printable import printable
from hashserver.cli.commands import Commands
from hashserver.cli.options import FastDecode, Json
from hashserver.csv_writer import CsvWriter
from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from hashserver.provider.scanning.pool import Hashers
    from hashserver.provider.scanning.worker import FileOutcome

HELP = """Print the hashes of files: MD5, SHA-1, SHA-256 and, for pictures, PDQ and pHash.

Prints CSV with a header, which `load` and `check` read, or with --json one object per line. A picture that has no
perceptual hash is named, and why. A file that cannot be read is named, and the exit code is then 2.

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
    file_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, max=86400, help="Time limit for one file.")
    ] = 60,
    fast_decode: FastDecode = False,
    as_json: Json = False,
) -> int:
    """Print the hashes of files; see `HELP`. Returns the exit code, 2 if a file cannot be read."""
    choose_cache()
    from hashserver.provider.hashing.digests import TYPES
    from hashserver.provider.scanning.pool import Hashers

    failed = False
    writer = CsvWriter(sys.stdout, as_they_are=True)
    if not as_json:
        writer.write_row([*TYPES, "name"])
    with Hashers(
        frozenset(TYPES),
        processes=min(threads or os.cpu_count() or 1, len(files)),
        nice=0,
        seconds=file_timeout,
        fast=fast_decode,
        anonymous=False,
    ) as hashers:
        for path, outcome in _in_order(files, hashers):
            shown = printable(path)
            if outcome.digests is None:
                failed = True
                print(f"hashserver: cannot read {shown}: {outcome.trouble}", file=sys.stderr)
                continue
            note = outcome.trouble or outcome.note
            if note and (outcome.kind is not None or outcome.quality is not None):  # a picture
                print(f"hashserver: {shown}: {printable(note)}", file=sys.stderr)
            if as_json:
                print(orjson.dumps(_as_object(path, outcome, note), bytes.hex).decode())
            else:
                writer.write_row([*((digest or b"").hex() for digest in outcome.to_ask), shown])
    return 2 if failed else 0


def _in_order(files: list[Path], hashers: Hashers) -> Iterator[tuple[bytes, FileOutcome]]:
    """Hash files in processes that pictures can do no harm to; outcomes in the order given."""
    from hashserver.provider.scanning.walk import FoundFile

    waiting = iter([FoundFile(os.fsencode(path), 0, 0, number) for number, path in enumerate(files)])
    done: dict[int, tuple[bytes, FileOutcome]] = {}
    for number in range(len(files)):
        while number not in done:
            while hashers.has_room and (file := next(waiting, None)) is not None:
                hashers.submit([file])
            done |= {file.inode: (file.path, outcome) for file, outcome in hashers.next_done()}
        yield done.pop(number)


def _as_object(path: bytes, outcome: FileOutcome, note: str | None) -> dict[str, object]:
    from hashserver.provider.hashing.digests import TYPES

    digests = dict(zip(TYPES, outcome.digests or (), strict=True))
    return {
        "path": path.decode("utf-8", "replace"),
        "path_hex": path,
        "size": outcome.size,
        **digests,
        "pdq_quality": outcome.quality,
        "note": note,
        "vague": outcome.vague,
        "not_looked_at": outcome.kind,
    }
