"""`hashserver scan`: check whole folders and buckets against a server."""

from __future__ import annotations

import gc
import hashlib
import json
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

from hashcore.text.printable import printable
from hashserver.cli.commands import Commands
from hashserver.cli.options import LOCAL_SERVER, ApiKey, FastDecode, ServerUrl
from hashserver.cli.output import check_table
from hashserver.cli.progress import short
from hashserver.cli.quantities import read_duration, read_rate
from hashserver.errors import BadInput
from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from collections import Counter

    from hashserver.provider.hashing.looked_at import NotLookedAt
    from hashserver.provider.scanning.scan import ScanResult
    from hashserver.provider.scanning.state import State

HELP = """Scan folders and buckets: hash what is new or changed, check all hashes, report what matched.

No file leaves this machine, only hashes. The scan keeps a state: one that is interrupted continues where it
stopped, and the next one reads only what has changed.

Exit codes: 0 nothing matched, 1 something matched, 2 bad input, 3 trouble with the server or the network, 4
something could not be looked at, or told to the command of --on-hit, whether or not something matched.

Examples:

  hashserver scan /srv/www --server https://hashes.example.org
  hashserver scan /srv --include '*.jpg' --newer-than 2d --nice 10
  AWS_PROFILE=backup hashserver scan s3://bucket/uploads/ --report hits.csv
  hashserver scan /srv/www --on-hit '/usr/local/bin/quarantine --json -'
"""

NOT_COMPLETE = 4
_LOG_EVERY = 30.0
_MOST_PATIENCE = 60.0  # of one request; the scan waits on by itself
_MOST_NAMED = 200  # lines about what was not looked at; the report has the rest
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
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Kinds of what is not looked at that do not change the exit code, such as "
            "not-decodable,vanished.",
        ),
    ] = None,
    allow_empty: Annotated[
        bool,
        typer.Option(
            "--allow-empty",
            help="Accept a server without sets, and folders that have become empty or are not mounted any more.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the report as JSON Lines, and the summary as the last line of stderr."),
    ] = False,
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
    check_table(report, "path", "size", "mtime")
    gc.freeze()
    gc.set_threshold(100_000)  # hundreds of thousands of rows come and go, and none is part of a cycle
    roots = [_root_of(path) for path in paths]
    accepted = _kinds(accept)
    state = state or _state_of(roots)
    _check_roots(roots, state)
    walk = WalkOptions(
        include=include or (),
        exclude=exclude or (),
        newer_than=None if newer_than is None else time.time() - read_duration(newer_than, "--newer-than"),
        follow_links=follow_links,
        one_file_system=one_file_system,
    )
    rate = None if max_read_rate is None else read_rate(max_read_rate, "--max-read-rate", "50M")
    with (
        Client(server, key, patience=min(patience, _MOST_PATIENCE)) as client,
        State(state) as remembered,
        _Display() as display,
    ):
        _check_known(roots, remembered)
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
            allow_empty=allow_empty,
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
        write_report(report, remembered.hits(), remembered.not_looked_at(), as_json=as_json)
    complete = not (set(result.not_looked_at) | set(result.folders)) - accepted and not result.hook_failures
    if not result.files:
        print("hashserver: no files were found: is this the right place, and is it mounted?", file=sys.stderr)
    print(_summary(result), file=sys.stderr)
    if as_json:
        print(json.dumps(_as_object(result, complete)), file=sys.stderr)
    if not complete:
        return NOT_COMPLETE
    return 1 if result.hit_files else 0


def _summary(result: ScanResult) -> str:
    """The counts in a sentence: hashed, unchanged and not looked at add up to the files."""
    seconds = result.seconds or 1e-9
    unseen = result.not_looked_at.total()
    parts = [
        f"{result.files:,} files: {result.hashed:,} hashed "
        f"({short(result.read / seconds)}/s, {short(result.read_bytes / seconds)}B/s), "
        f"{result.unchanged:,} unchanged, {unseen:,} not looked at" + _by_kind(result.not_looked_at)
    ]
    if result.folders:
        count = result.folders.total()
        parts.append(
            f"{count:,} folders not looked at{_by_kind(result.folders)}, of which {result.kept:,} files are known"
        )
    parts.append(f"{result.asked:,} asked about, {result.hit_files:,} matched")
    if result.vague:
        parts.append(f"{result.vague:,} pictures too plain or too small for a perceptual hash")
    if result.hook_failures:
        parts.append(f"{result.hook_failures:,} matches not taken by the command of --on-hit")
    return f"hashserver: {'; '.join(parts)}; generation {result.generation}, {seconds:.1f} s"


def _by_kind(counts: Counter[NotLookedAt]) -> str:
    from hashserver.provider.hashing.looked_at import IN_WORDS

    listed = ", ".join(f"{counts[kind]:,} {words}" for kind, words in IN_WORDS.items() if counts[kind])
    return f" ({listed})" if listed else ""


def _as_object(result: ScanResult, complete: bool) -> dict[str, object]:
    """The summary for programs."""
    return {
        "files": result.files,
        "hashed": result.hashed,
        "unchanged": result.unchanged,
        "not_looked_at": {kind.value: count for kind, count in sorted(result.not_looked_at.items()) if count},
        "folders_not_looked_at": {kind.value: count for kind, count in sorted(result.folders.items()) if count},
        "known_below_folders": result.kept,
        "vague_pictures": result.vague,
        "asked": result.asked,
        "matched": result.hit_files,
        "hook_failures": result.hook_failures,
        "complete": complete,
        "generation": result.generation,
        "store": result.store,
        "state": result.state,
        "seconds": round(result.seconds, 3),
    }


def _kinds(given: str | None) -> frozenset[NotLookedAt]:
    from hashserver.provider.hashing.looked_at import NotLookedAt

    names = {name.strip() for name in (given or "").split(",")} - {""}
    if unknown := sorted(names - set(NotLookedAt)):
        raise typer.BadParameter(
            f"{', '.join(unknown)} is not one of {', '.join(NotLookedAt)}", param_hint="--accept"
        )
    return frozenset(map(NotLookedAt, names))


def _check_roots(roots: list[bytes], state: Path) -> None:
    """Refuse a folder that is not there and that no state file can know; see `_check_known`."""
    if not state.exists():
        for root in roots:
            if not _exists(root):
                raise _no_such(root)


def _check_known(roots: list[bytes], remembered: State) -> None:
    """A folder that is not there is trouble when it has been scanned before, and else a mistake."""
    for root in roots:
        if not _exists(root) and not remembered.knows_below(root):
            raise _no_such(root)


def _exists(root: bytes) -> bool:
    from hashserver.provider.scanning.objects import is_object

    return is_object(root) or os.path.lexists(root)


def _no_such(root: bytes) -> typer.BadParameter:
    return typer.BadParameter(f"{printable(root)} does not exist", param_hint="PATHS")


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
        self._named = 0

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
        table.add_row("hashed", f"{result.hashed:,}", f"{short(result.read_bytes / seconds)}B/s")
        table.add_row("unchanged", f"{result.unchanged:,}", "")
        table.add_row("asked about", f"{result.asked:,}", f"generation {result.generation}")
        table.add_row("matched", f"{result.hit_files:,}", "")
        unseen = result.not_looked_at.total() + result.folders.total()
        table.add_row("not looked at", f"{unseen:,}", f"{seconds:,.0f} s")
        self._live.update(table)

    def trouble(self, path: bytes, reason: str) -> None:
        self._named += 1
        if self._named <= _MOST_NAMED:
            self.say(f"{printable(path)}: {reason}")
        elif self._named == _MOST_NAMED + 1:
            self.say("there is more that was not looked at; it is in the report")

    def say(self, sentence: str) -> None:
        sentence = printable(sentence)
        if self._live is None:
            print(f"hashserver: {sentence}", file=sys.stderr)
        else:
            self._live.console.print(f"hashserver: {sentence}", markup=False, highlight=False)
