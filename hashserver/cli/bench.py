"""`hashserver bench`: measure how fast this machine or a server is."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.options import ApiKey, Json
from hashserver.cli.progress import short, steps_progress
from hashserver.kernels import choose_cache

if TYPE_CHECKING:
    from hashserver.bench import Figure

HELP = """Measure how fast this machine or a server is.

Measures lookups and PDQ queries in process, checks over HTTP on loopback (against a server started for this,
with a party and a key), and hashing a picture, with lmdb's getmulti for comparison. All data is generated, in a
temporary folder. This takes about half a minute.

With --server only the checks over HTTP are measured, against that server. The hashes are random and miss, so the
server records nothing but counts, which count towards the party's rate and quota. A server on another machine is
refused unless you give --yes.

Examples:

  hashserver bench
  hashserver bench --entries 10000000 --json
  HASHSERVER_KEY=... hashserver bench --server http://127.0.0.1:8080
"""


app = Commands()


@app.command("bench", help=HELP)
def bench(
    entries: Annotated[
        int,
        typer.Option(
            metavar="N", min=1000, max=100_000_000, help="Number of known MD5s; PDQs are a tenth of that."
        ),
    ] = 1_000_000,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long to measure each figure.")
    ] = 3.0,
    server: Annotated[str | None, typer.Option(metavar="URL", help="Measure this server instead.")] = None,
    key: ApiKey = None,
    yes: Annotated[bool, typer.Option("--yes", help="Allow putting load on another machine.")] = False,
    as_json: Json = False,
) -> int:
    """Measure, and print the figures; see `HELP`. Returns the exit code."""
    if server is not None:
        _check_server(server, allowed=yes)
    choose_cache()
    from hashserver.bench import MACHINE_STEPS, SERVER_STEPS, bench_machine, bench_server

    # Without this, the server that was started here would outlive a bench that is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with steps_progress() as progress:
        task = progress.add_task("starting", total=SERVER_STEPS if server else MACHINE_STEPS)
        begun = False

        def on_step(what: str) -> None:
            nonlocal begun
            progress.update(task, description=what, advance=1 if begun else 0)
            begun = True

        if server is None:
            figures = bench_machine(entries, seconds, on_step)
        else:
            print(
                f"hashserver: asking {server} about random hashes, which miss; it records nothing but counts",
                file=sys.stderr,
            )
            figures = bench_server(server, key, seconds, on_step)
    if as_json:
        known = {"entries": entries} if server is None else {"server": server}
        print(orjson.dumps({**known, "seconds": seconds, "figures": [asdict(one) for one in figures]}).decode())
    else:
        _print_table(figures)
    return 0


def _check_server(server: str, *, allowed: bool) -> None:
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter(
            f"{server!r} is not the URL of a server; it has to start with http:// or https://",
            param_hint="--server",
        )
    if allowed:
        return
    from hashserver.server.loopback import listens_on_loopback_only

    try:
        here = listens_on_loopback_only(parts.hostname)
    except OSError as error:
        raise typer.BadParameter(f"cannot resolve {parts.hostname!r}: {error}", param_hint="--server") from error
    if not here:
        raise typer.BadParameter(
            f"{parts.hostname} is another machine, and this puts as much load on it as it can take; give --yes if "
            "its operator agrees",
            param_hint="--server",
        )


def _print_table(figures: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    peer = next((one.value for one in figures if one.name == "getmulti_lookups"), None)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("figure", justify="right", no_wrap=True)
    if peer is not None:
        table.add_column("x getmulti", justify="right", no_wrap=True)
    table.add_column("what it means")
    for one in figures:
        value = f"{one.value:.1f} ms" if one.unit == "ms" else f"{short(one.value)}/s"
        ratio = [] if peer is None else [_ratio(one, peer)]
        table.add_row(one.title, value, *ratio, one.meaning)
    Console().print(table)


def _ratio(figure: Figure, peer: float) -> str:
    exact = figure.name.endswith(("_lookups", "_checks")) and figure.value != peer
    return f"{figure.value / peer:.1f}" if exact else ""
