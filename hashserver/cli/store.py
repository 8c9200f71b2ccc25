"""`hashserver store`: back up, verify, restore and prune a data folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.options import DataDir, Json
from hashserver.kernels import choose_cache
from hashserver.settings import load_settings

if TYPE_CHECKING:
    from hashserver.data_folder.backup import OnProgress

PROBLEMS = 2

app = Commands(
    help="""Back up, verify and restore sets, parties and the ledger, while servers run.

Examples:

  hashserver store backup /backups/2026-07-01
  hashserver store verify
  hashserver store verify /backups/2026-07-01
  hashserver store restore /backups/2026-07-01 --data-dir /srv/hashes
  hashserver store prune --keep-hits-days 365
""",
    no_args_is_help=True,
)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    from hashserver.cli.progress import bytes_progress

    with bytes_progress("B") as bar:
        tasks: dict[str, Any] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield on_progress


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Folder to create; it must not exist.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Copy sets, ledger and key secret to a new folder, consistently, even while servers run.

    Example:

      hashserver store backup /backups/2026-07-01
    """
    settings = load_settings(data_dir=data_dir)
    _must_exist(settings.data_dir)
    choose_cache(settings.data_dir)
    from hashserver.data_folder.backup import back_up
    from hashserver.data_folder.store import open_store

    with open_store(settings) as store, _progress() as on_progress:
        manifest = back_up(settings.data_dir, store, target, on_progress)
    if as_json:
        print(orjson.dumps({"backup": str(target), **manifest}).decode())
    else:
        size = sum(each["bytes"] for each in manifest["files"].values())
        print(f"generation {manifest['generation']} and the ledger are in {target} ({size:,} bytes)")


@app.command()
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="A backup or a data folder.", show_default="--data-dir"),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Verify the structure, counts and checksums of a store and its ledger.

    In a backup, the SHA-256 of each file is verified as well. Each problem is printed, and the
    exit code is then 2.

    Example:

      hashserver store verify /backups/2026-07-01
    """
    chosen = folder or load_settings(data_dir=data_dir).data_dir
    _must_exist(chosen)
    choose_cache(chosen)
    from hashserver.data_folder.verify import verify_folder

    with _progress() as on_progress:
        found = verify_folder(chosen, on_progress)
    if as_json:
        print(orjson.dumps({"folder": str(chosen), "ok": not found.problems, **found.as_dict()}).decode())
    else:
        for problem in found.problems:
            print(problem)
        if found.problems:
            number = len(found.problems)
            print(f"{number:,} problem{'s' * (number > 1)} in {chosen}; restore a backup, or load the sets again")
        else:
            generation, pieces, size = (found.store[name] for name in ("generation", "pieces", "bytes"))
            print(f"no problems in {chosen}: generation {generation}, {pieces:,} pieces, {size:,} bytes")
    if found.problems:
        raise typer.Exit(PROBLEMS)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder that `store backup` created.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a data folder from a backup; the data folder must be empty or not exist.

    Example:

      hashserver store restore /backups/2026-07-01 --data-dir /srv/hashes
    """
    from hashserver.data_folder import backup as backups

    target = load_settings(data_dir=data_dir).data_dir
    with _progress() as on_progress:
        manifest = backups.restore(backup, target, on_progress)
    if as_json:
        print(orjson.dumps({"data_dir": str(target), "generation": manifest["generation"]}).decode())
    else:
        print(f"generation {manifest['generation']} and the ledger of {manifest['created']} are in {target}")


@app.command()
def prune(
    keep_hits_days: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=1, help="Delete single hits older than this.", show_default="the setting"
        ),
    ] = None,
    keep_counts_days: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="Delete counts older than this.", show_default="the setting"),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete old hits and counts now, as a running server does every hour.

    Example:

      hashserver store prune --keep-hits-days 365
    """
    settings = load_settings(data_dir=data_dir, keep_hits_days=keep_hits_days, keep_counts_days=keep_counts_days)
    _must_exist(settings.data_dir)
    if settings.keep_hits_days is None and settings.keep_counts_days is None:
        print(
            "hashserver: nothing to delete: neither keep_hits_days nor keep_counts_days is set",
            file=sys.stderr,
        )
    from hashserver.ledger.retention import apply_retention

    deleted = apply_retention(
        settings.data_dir,
        keep_hits_days=settings.keep_hits_days,
        keep_counts_days=settings.keep_counts_days,
    )
    if as_json:
        print(orjson.dumps({"hits": deleted.hits, "counts": deleted.counts}).decode())
    else:
        print(f"{deleted.hits:,} hits and {deleted.counts:,} counts deleted")


def _must_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
