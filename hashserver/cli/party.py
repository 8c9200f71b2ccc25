"""`hashserver party`: who may ask, with which keys, and how much."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from hashserver.cli.commands import Commands
from hashserver.cli.folders import open_snapshot
from hashserver.cli.options import DataDir, Json
from hashserver.cli.quantities import read_count, read_duration, read_rate
from hashserver.settings import Settings, load_settings

if TYPE_CHECKING:
    from hashserver.parties.admin import PartyAdmin, PartyInfo

app = Commands(
    help="""Manage parties: who may ask, with which keys, and how much.

Running servers pick up every change within a second.

Examples:

  hashserver party add "Example Hosting" --max-rate 5000000/s
  hashserver party change "Example Hosting" --sets police,interpol
  hashserver party rotate-key "Example Hosting" --overlap 7d
""",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the party.")]
_PERMISSIONS = "check, contribute, feedback, report or admin; may be repeated."
Permission = Annotated[
    list[str] | None,
    typer.Option("--permission", metavar="PERMISSION", help=f"A permission to grant: {_PERMISSIONS}"),
]
Sets = Annotated[
    str | None,
    typer.Option(
        "--sets", metavar="NAMES", help="Match against these sets only, such as police,interpol; or all."
    ),
]
MaxRate = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="Hashes per second, on average, such as 5000000/s or 5M/s; or none."),
]
DailyQuota = Annotated[
    str | None, typer.Option(metavar="NUMBER", help="Hashes per day (UTC), such as 2000000000 or 2G; or none.")
]


@contextmanager
def _admin(data_dir: Any, *, create: bool = False) -> Iterator[PartyAdmin]:
    from hashserver.data_folder.opening import open_ledger
    from hashserver.ledger.tables.audit import shell_user
    from hashserver.parties.admin import PartyAdmin

    with open_ledger(load_settings(data_dir=data_dir).data_dir, create=create) as ledger:
        yield PartyAdmin(ledger, shell_user())


@app.command()
def add(
    name: Name,
    permission: Permission = None,
    sets: Sets = None,
    max_rate: MaxRate = None,
    daily_quota: DailyQuota = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Add a party and print its key, once.

    Without --permission, the party may check and give feedback.

    Example:

      hashserver party add "Example Hosting" --max-rate 5000000/s
    """
    from hashserver.parties.admin import DEFAULT_PERMISSIONS

    with _admin(data_dir, create=True) as admin:
        key = admin.add(
            name,
            permissions=permission or DEFAULT_PERMISSIONS,
            sets=_names(sets),
            max_rate=_rate(max_rate),
            daily_quota=_quota(daily_quota),
        )
    _print_key(name, key, as_json)  # before anything can go wrong: it cannot be shown again
    _warn_of_unknown(_names(sets), data_dir)


@app.command("list")
def list_parties(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List all parties.

    Example:

      hashserver party list --json
    """
    with _admin(data_dir) as admin:
        parties = admin.parties()
    if as_json:
        print(orjson.dumps([_describe(party) for party in parties]).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("party", "since", "permissions", "sets", "hashes/s", "hashes/day", "valid keys")
    for party in parties:
        described = _describe(party)
        name = party.name if party.disabled is None else f"{party.name} (disabled)"
        table.add_row(
            name,
            described["since"],
            ", ".join(party.permissions),
            "all" if party.sets is None else ", ".join(party.sets),
            "" if party.max_rate is None else f"{party.max_rate:,.0f}",
            "" if party.daily_quota is None else f"{party.daily_quota:,}",
            str(sum(key["valid"] for key in described["keys"])),
        )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


@app.command()
def show(name: Name, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show a party and the numbers of its keys, but never the keys themselves.

    Example:

      hashserver party show "Example Hosting"
    """
    with _admin(data_dir) as admin:
        described = _describe(admin.show(name))
    if as_json:
        print(orjson.dumps(described).decode())
        return
    for member, value in described.items():
        if member != "keys":
            print(f"{member.replace('_', ' '):<12} {_words(value)}")
    for key in described["keys"]:
        state = "valid" if key["valid"] else "removed" if key["removed"] else "expired"
        until = f", until {key['expires']}" if key["expires"] else ""
        print(f"key {key['number']:<8} {state}, since {key['created']}{until}")


@app.command()
def disable(name: Name, data_dir: DataDir = None) -> None:
    """Disable a party; its figures stay.

    Example:

      hashserver party disable "Example Hosting"
    """
    with _admin(data_dir) as admin:
        admin.set_disabled(name, True)
    print(f"party {name} is disabled; hashserver party enable {shlex.quote(name)} undoes this")


@app.command()
def enable(name: Name, data_dir: DataDir = None) -> None:
    """Enable a disabled party again; its keys stay the same.

    Example:

      hashserver party enable "Example Hosting"
    """
    with _admin(data_dir) as admin:
        admin.set_disabled(name, False)
    print(f"party {name} is enabled")


@app.command()
def change(
    name: Name,
    permission: Permission = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(metavar="PERMISSION", help="A permission to revoke; may be repeated."),
    ] = None,
    sets: Sets = None,
    max_rate: MaxRate = None,
    daily_quota: DailyQuota = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Change the permissions and limits of a party; what you do not name stays as it is.

    Example:

      hashserver party change "Example Hosting" --permission report
      hashserver party change "Example Hosting" --daily-quota none
    """
    from hashserver.parties.admin import UNCHANGED

    with _admin(data_dir) as admin:
        info = admin.change(
            name,
            allow=permission or (),
            deny=deny or (),
            sets=UNCHANGED if sets is None else _names(sets),
            max_rate=UNCHANGED if max_rate is None else _rate(max_rate),
            daily_quota=UNCHANGED if daily_quota is None else _quota(daily_quota),
        )
    if as_json:
        print(orjson.dumps(_describe(info)).decode())
    else:
        allowed = ", ".join(info.permissions) or "do nothing"
        print(f"party {info.name} may {allowed}, against {_words(info.sets)} sets")
    _warn_of_unknown(_names(sets), data_dir)


@app.command("allow", hidden=True)
@wraps(change)
def _allow(**options: Any) -> None:
    print("hashserver: party allow is now called party change", file=sys.stderr)
    change(**options)


@app.command("rotate-key")
def rotate_key(
    name: Name,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old key stays valid, such as 0s, 12h or 7d.")
    ] = "7d",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give a party a new key and print it, once. The old key stays valid for a while.

    Example:

      hashserver party rotate-key "Example Hosting" --overlap 7d
    """
    seconds = read_duration(overlap, "--overlap")
    with _admin(data_dir) as admin:
        key = admin.rotate_key(name, overlap_seconds=seconds)
    _print_key(name, key, as_json)


@app.command("remove-key")
def remove_key(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the key, from `party show`.")],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key at once.

    Example:

      hashserver party remove-key "Example Hosting" 3
    """
    with _admin(data_dir) as admin:
        admin.remove_key(name, number)
    print(f"key {number} of party {name} is revoked")


def _print_key(name: str, key: str, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps({"party": name, "key": key}).decode())
        return
    print(key)
    print(f"hashserver: this is the key of {name}; it is not stored and cannot be shown again", file=sys.stderr)


def _describe(party: PartyInfo) -> dict[str, Any]:
    from hashserver.times import now_ms, timestamp

    def when(ms: int | None) -> str | None:
        return None if ms is None else timestamp(ms / 1000)

    now = now_ms()
    keys = [
        {
            "number": key.number,
            "valid": key.is_valid(now),
            "created": when(key.created),
            "expires": when(key.expires),
            "removed": when(key.revoked),
        }
        for key in party.keys
    ]
    return {**party.as_json(), "since": when(party.created), "keys": keys}


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, list) else f"{value}"


def _names(text: str | None) -> list[str] | None:
    if text is None or text == "all":
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def _warn_of_unknown(names: list[str] | None, data_dir: Any) -> None:
    """Warn of sets that are not in the store: they may come later, or the name may be wrong."""
    if not names:
        return
    served = _served(load_settings(data_dir=data_dir))
    if unknown := [name for name in names if name not in served]:
        known = f"the sets are {', '.join(sorted(served))}" if served else "it has no sets"
        print(
            f"hashserver: the store has no set named {', '.join(unknown)}, which matches nothing until it is "
            f"loaded; {known}",
            file=sys.stderr,
        )


def _served(settings: Settings) -> set[str]:
    from hashserver.data_folder.opening import open_ledger

    with open_ledger(settings.data_dir) as ledger, open_snapshot(ledger) as snapshot:
        return set() if snapshot is None else set(snapshot.manifest.sets)


def _rate(text: str | None) -> float | None:
    return None if text in (None, "none") else read_rate(text, "--max-rate", "5000000/s or 5M/s")


def _quota(text: str | None) -> int | None:
    return None if text in (None, "none") else read_count(text, "--daily-quota", "2000000000 or 2G")
