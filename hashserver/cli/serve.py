"""`hashserver serve`: answer checks over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Annotated

import typer

from hashserver.cli.commands import Commands
from hashserver.cli.folders import open_data_folder
from hashserver.cli.options import DataDir
from hashserver.errors import BadInput
from hashserver.settings import Settings, as_environment, load_settings

HELP = """Answer checks over HTTP.

Use `hashserver party add` to configure the parties that may ask. Until there is one, the server only listens on
loopback addresses of this machine.

Examples:

  hashserver serve
  hashserver serve --port 8081 --workers 2 --data-dir /srv/hashes
"""


app = Commands()


@app.command("serve", help=HELP)
def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port to listen on; 0 lets the system choose.", show_default="8080"),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Server processes.", show_default="1")] = None,
    data_dir: DataDir = None,
    new: Annotated[
        bool, typer.Option("--new", help="Serve a data folder that is new, with no sets and no parties yet.")
    ] = False,
) -> int:
    """Serve until a signal ends it; see `HELP`. Returns the exit code."""
    settings = load_settings(host=host, port=port, workers=workers, data_dir=data_dir)
    if not new:
        _require_used(settings)
    from hashserver.server.metrics_folder import share_between_workers

    share_between_workers()
    from hashserver.parties import Directory

    # What cannot be opened is refused here, in one sentence, not in every worker.
    open_data_folder(settings, create=True).close()
    directory = Directory(settings.data_dir)
    parties = None if directory.is_open else len(directory.parties)
    is_closed = directory.is_closed
    directory.close()
    if parties is None:
        _require_loopback(settings.host)
    listener = _listen(settings)
    address = listener.getsockname()
    url = f"http://{_url_host(address[0])}:{address[1]}"
    if parties is None:
        print(f"hashserver: no parties are configured, so only this machine may ask: {url}")
    elif is_closed:
        print(
            "hashserver: the ledger is new and knows no parties, so nobody is answered until one is added with "
            f"hashserver party add: {url}"
        )
    else:
        print(f"hashserver: serving {parties:,} {'party' if parties == 1 else 'parties'}: {url}")
    sys.stdout.flush()
    os.environ.update(as_environment(settings))
    _run(settings, listener)
    return 0


def _require_used(settings: Settings) -> None:
    """Refuse an empty folder that somebody has named: its disk may not be mounted.

    Served as a new one, it would know no hash, and answer whoever reaches it through a proxy.
    """
    from hashserver.data_folder.opening import was_used

    if "data_dir" in settings.model_fields_set and not was_used(settings.data_dir):
        raise BadInput(
            f"there is no store in {settings.data_dir}; if it should have one, its disk may not be mounted. If "
            "the server is new, load a set or add a party first (hashserver load, hashserver party add), or "
            "add --new"
        )


def _require_loopback(host: str) -> None:
    from hashserver.server.loopback import listens_on_loopback_only

    try:
        alone = listens_on_loopback_only(host)
    except OSError as error:
        raise typer.BadParameter(
            f"{host!r} is not an address of this machine: {error}", param_hint="--host"
        ) from error
    if not alone:
        raise typer.BadParameter(
            f"{host} can be reached from other machines, and no parties are configured yet; add one with "
            "hashserver party add, or listen on 127.0.0.1",
            param_hint="--host",
        )


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise typer.BadParameter(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another with --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _run(settings: Settings, listener: socket.socket) -> None:
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG
    from uvicorn.supervisors import Multiprocess

    ours = {"hashserver": {"handlers": ["default"], "level": "INFO", "propagate": False}}
    config = uvicorn.Config(
        "hashserver.app:create_worker",
        factory=True,
        workers=settings.workers,
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="info",
        log_config={**LOGGING_CONFIG, "loggers": {**LOGGING_CONFIG["loggers"], **ours}},
        server_header=False,
        timeout_graceful_shutdown=30,
        backlog=2048,
    )
    # When all requests are answered, uvicorn raises the signal that ended it again; this is not a
    # failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if settings.workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
    else:
        Multiprocess(config, sockets=[listener]).run()
