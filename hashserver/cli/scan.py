"""`hashserver scan`: check whole folders and buckets against a server."""

from __future__ import annotations

import gc
import hashlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hashserver.cli.commands import Commands
from hashserver.cli.options import LOCAL_SERVER, ApiKey, FastDecode, ServerUrl
from hashserver.cli.progress import short
from hashserver.cli.quantities import read_duration, read_rate
from hashserver.errors import BadInput
from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from hashserver.provider.scanning.scan import ScanResult

HELP = """Scan folders and buckets: hash what is new or changed, check all hashes, report what matched.

No file leaves this machine, only hashes. The scan keeps a state: one that is interrupted continues where it
stopped, and the next one reads only what has changed.

Exit codes: 0 nothing matched, 1 something matched, 2 bad input, 3 trouble with the server or the network.

Examples:

  hashserver scan /srv/www --server https://hashes.example.org
  hashserver scan /srv --include '*.jpg' --newer-than 2d --nice 10
  AWS_PROFILE=backup hashserver scan s3://bucket/uploads/ --report hits.csv
  hashserver scan /srv/www --on-hit '/usr/local/bin/quarantine --json -'
"""

_LOG_EVERY = 30.0
_OLD_TYPES = typer.Option("--hash", hidden=True)  # what --type was called

app = Commands()


@app.command("scan", help=HELP)
def scan(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS", help="Folders, files, and s3://bucket/prefix.")],
    server: ServerUrl = LOCAL_SERVER,
    key: ApiKey = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Report to write: .csv, .jsonl or .parquet.",
            show_default="CSV on standard output",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the scan keeps its state.",
            show_default="for these paths, below ~/.local/state",
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="TYPES", help="Hash types to use, such as md5,pdq.", show_default="those of the sets"
        ),
    ] = None,
    old_types: Annotated[str | None, _OLD_TYPES] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files whose names match, such as '*.jpg'; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Skip files and folders whose names match; may be repeated."),
    ] = None,
    newer_than: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Only files changed within this time, such as 12h or 2d."),
    ] = None,
    follow_links: Annotated[bool, typer.Option("--follow-links", help="Follow symbolic links.")] = False,
    one_file_system: Annotated[
        bool, typer.Option("--one-file-system", help="Do not enter other file systems.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Processes that hash.", show_default="number of CPUs"),
    ] = None,
    nice: Annotated[
        int, typer.Option(metavar="N", min=0, max=19, help="Run these processes with this niceness added.")
    ] = 0,
    max_read_rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Bytes to read per second at most, such as 50M.")
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a server that does not answer.")
    ] = 900,
    on_hit: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Command that gets each new hit as JSON on its standard input."),
    ] = None,
    file_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            max=86400,
            help="Time limit for one file; beyond it, the file is skipped.",
        ),
    ] = 60,
    fast_decode: FastDecode = False,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Read s3:// without credentials.")] = False,
) -> int:
    """Scan folders and buckets, and report what matched; see `HELP`. Returns the exit code."""
    choose_cache()
    from hashserver.client import Client
    from hashserver.provider.scanning.report import check_name, write_report
    from hashserver.provider.scanning.scan import ScanOptions
    from hashserver.provider.scanning.scan import scan as run
    from hashserver.provider.scanning.state import State
    from hashserver.provider.scanning.walk import WalkOptions

    check_name(report)
    gc.freeze()
    gc.set_threshold(100_000)  # hundreds of thousands of rows come and go, and none is part of a cycle
    roots = [_root_of(path) for path in paths]
    walk = WalkOptions(
        include=include or (),
        exclude=exclude or (),
        newer_than=None if newer_than is None else time.time() - read_duration(newer_than, "--newer-than"),
        follow_links=follow_links,
        one_file_system=one_file_system,
    )
    rate = None if max_read_rate is None else read_rate(max_read_rate, "--max-read-rate", "50M")
    with Client(server, key) as client, State(state or _state_of(roots)) as remembered, _Display() as display:
        options = ScanOptions(
            types=_types(types or old_types, client.sets()),
            processes=processes or os.cpu_count() or 1,
            nice=nice,
            max_read_rate=rate,
            patience=patience,
            on_hit=shlex.split(on_hit or ""),
            file_timeout=file_timeout,
            fast_decode=fast_decode,
            anonymous=anonymous,
            walk=walk,
        )
        result = run(
            roots,
            client,
            remembered,
            options,
            on_progress=display.show,
            on_trouble=display.trouble,
            on_wait=display.say,
        )
        if not (include or exclude or newer_than):
            remembered.forget_unseen()
        write_report(report, remembered.hits())
    print(_summary(result), file=sys.stderr)
    return 1 if result.hit_files else 0


def _summary(result: ScanResult) -> str:
    seconds = result.seconds or 1e-9
    return (
        f"hashserver: {result.files:,} files, {result.hashed:,} of them hashed "
        f"({short(result.hashed / seconds)}/s, {short(result.hashed_bytes / seconds)}B/s), {result.asked:,} asked "
        f"about, {result.hit_files:,} matched, {result.troubles:,} could not be read, "
        f"generation {result.generation}, {seconds:.1f} s"
    )


def _types(chosen: str | None, sets: dict[str, object]) -> frozenset[str]:
    from hashserver.provider.hashing.digests import TYPES

    if chosen is not None:
        names = frozenset(name.strip() for name in chosen.split(","))
        if unknown := sorted(names - set(TYPES)):
            raise typer.BadParameter(
                f"{', '.join(unknown)} cannot be computed; use {', '.join(TYPES)}", param_hint="--type"
            )
        return names
    listed = sets["sets"]
    assert isinstance(listed, list)
    names = frozenset(name for entry in listed if entry["role"] == "match" for name in entry["hashes"])
    # A server without sets may have one by the next scan; most sets have MD5.
    return names & set(TYPES) or frozenset({"md5"})


def _root_of(path: str) -> bytes:
    from hashserver.provider.scanning.objects import StorageError, check_available, is_object, split_url

    root = os.fsencode(path)
    try:
        if is_object(root):
            split_url(root)
            check_available()
            return root
    except StorageError as error:
        raise typer.BadParameter(str(error), param_hint="PATHS") from None
    if not os.path.lexists(root):
        raise typer.BadParameter(f"{path} does not exist", param_hint="PATHS")
    return os.fsencode(Path(path).absolute())


def _state_of(roots: list[bytes]) -> Path:
    try:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hashserver"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the user has no home, or may not write to it
        raise BadInput(
            f"there is no folder of this user for the state of the scan ({error}); name a file with --state"
        ) from None
    name = hashlib.blake2b(b"\0".join(sorted(roots)), digest_size=8).hexdigest()
    return folder / f"scan-{name}.sqlite"


class _Display:
    """A live table on a terminal, and a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=4) if sys.stderr.isatty() else None
        self._logged = time.monotonic()

    def __enter__(self) -> _Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, result: ScanResult) -> None:
        if self._live is None:
            if time.monotonic() - self._logged >= _LOG_EVERY:
                self._logged = time.monotonic()
                self.say(_summary(result).removeprefix("hashserver: "))
            return
        seconds = result.seconds or 1e-9
        table = Table(show_header=False, box=None)
        table.add_row("files found", f"{result.files:,}", f"{short(result.bytes)}B")
        table.add_row("hashed", f"{result.hashed:,}", f"{short(result.hashed_bytes / seconds)}B/s")
        table.add_row("asked about", f"{result.asked:,}", f"generation {result.generation}")
        table.add_row("matched", f"{result.hit_files:,}", "")
        table.add_row("not readable", f"{result.troubles:,}", f"{seconds:,.0f} s")
        self._live.update(table)

    def trouble(self, path: bytes, reason: str) -> None:
        self.say(f"{path.decode('utf-8', 'backslashreplace')}: {reason}")

    def say(self, sentence: str) -> None:
        if self._live is None:
            print(f"hashserver: {sentence}", file=sys.stderr)
        else:
            self._live.console.print(f"hashserver: {sentence}", markup=False, highlight=False)
