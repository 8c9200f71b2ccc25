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
from hashserver.cli.folders import open_data_folder
from hashserver.cli.options import DataDir, Json
from hashserver.kernels import choose_cache
from hashserver.settings import load_settings

if TYPE_CHECKING:
    from hashserver.data_folder.backup import OnProgress

PROBLEMS = 2

Because = Annotated[str, typer.Option("--because", metavar="REASON", help="Why; it is written to the audit log.")]

app = Commands(
    help="""Back up, verify and restore sets, parties and the ledger, while servers run.

Examples:

  hashserver store backup /backups/2026-07-01
  hashserver store verify
  hashserver store verify /backups/2026-07-01
  hashserver store restore /backups/2026-07-01 --data-dir /srv/hashes
  hashserver store prune --keep-hits-days 365
  hashserver store accept --because "the newest backup is of yesterday"
  hashserver store new-ledger --because "the disk failed, there is no backup"
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
    from hashserver.data_folder.backup import back_up

    settings = load_settings(data_dir=data_dir)
    with open_data_folder(settings) as folder, _progress() as on_progress:
        manifest = back_up(folder.ledger, folder.store, target, on_progress)
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
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="The clock is right, although nothing was recorded lately.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete old hits and counts now, as a running server does every hour.

    Example:

      hashserver store prune --keep-hits-days 365
    """
    settings = load_settings(data_dir=data_dir, keep_hits_days=keep_hits_days, keep_counts_days=keep_counts_days)
    if settings.keep_hits_days is None and settings.keep_counts_days is None:
        print(
            "hashserver: nothing to delete: neither keep_hits_days nor keep_counts_days is set",
            file=sys.stderr,
        )
    from hashserver.data_folder.opening import open_ledger
    from hashserver.ledger.retention import apply_retention

    open_ledger(settings.data_dir).close()  # whether there is one
    deleted = apply_retention(
        settings.data_dir,
        trust_clock=trust_clock,
        keep_hits_days=settings.keep_hits_days,
        keep_counts_days=settings.keep_counts_days,
    )
    if as_json:
        print(orjson.dumps({"hits": deleted.hits, "counts": deleted.counts}).decode())
    else:
        print(f"{deleted.hits:,} hits and {deleted.counts:,} counts deleted")


@app.command("new-ledger")
def new_ledger(because: Because, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make a new ledger in the place of one that is lost, and give up history and parties.

    Nobody is answered until a party is added with `party add`. If there is a backup, restore that
    instead.

    Example:

      hashserver store new-ledger --because "the disk failed, there is no backup"
    """
    folder = load_settings(data_dir=data_dir).data_dir
    _must_exist(folder)
    choose_cache(folder)
    from hashserver.data_folder.replacing import make_new_ledger
    from hashserver.ledger.tables.audit import shell_user

    generation = make_new_ledger(folder, who=shell_user(), because=_reason(because))
    if as_json:
        print(orjson.dumps({"data_dir": str(folder), "generation": generation}).decode())
    else:
        print(
            f"{folder} has a new ledger beside generation {generation}; nobody is answered until a party is added "
            "with hashserver party add"
        )


@app.command()
def accept(because: Because, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Go on with a store that is older than its ledger says, another one, or lost.

    The sets are then what the store holds. A line of the audit log says so; the next load goes on
    from there. If there is a backup, restore that instead.

    Example:

      hashserver store accept --because "the newest backup is of yesterday"
    """
    folder = load_settings(data_dir=data_dir).data_dir
    _must_exist(folder)
    choose_cache(folder)
    from hashserver.data_folder.replacing import accept_store
    from hashserver.ledger.tables.audit import shell_user

    before, generation = accept_store(folder, who=shell_user(), because=_reason(because))
    if as_json:
        print(orjson.dumps({"before": before.generation, "generation": generation}).decode())
    else:
        print(
            f"the ledger goes on from generation {generation}; it knew of generation {before.generation}. Load "
            "what is missing, and restart running servers"
        )


def _reason(because: str) -> str:
    if not because.strip():
        raise typer.BadParameter("say why, in a sentence", param_hint="--because")
    return because.strip()


def _must_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
