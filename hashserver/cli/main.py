"""Putting the commands together, and turning trouble into sentences and exit codes.

Exit codes: 0 done and nothing matched, 1 done and something matched, 2 usage or bad input, 3
server, network or storage trouble.
"""

from __future__ import annotations

import os
import re
import sys

import click
import typer

from hashcore.errors import HashcoreError, Refused
from hashserver import __version__
from hashserver.cli import bench, check, hash, load, party, report, scan, serve, sets, store
from hashserver.errors import BadInput, Trouble

OK = 0

# Typer has come to carry a click of its own, whose errors are not click's.
_USAGE_ERRORS: tuple[type[click.ClickException], ...] = (
    click.ClickException,
    *(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)

app = typer.Typer(
    name="hashserver",
    help="Match hashes against known hash sets, for hosting providers and hotlines.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hashserver {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Match hashes against known hash sets, for hosting providers and hotlines."""


def _paragraphs(text: str) -> str:
    """A help text without the line breaks inside its paragraphs, which the terminal's width decides."""
    return re.sub(r"(?<=\S)\n(?=[^\s])", " ", text)


app.command("load", help=_paragraphs(load.HELP))(load.load)
app.add_typer(sets.app, name="sets")
app.add_typer(party.app, name="party")
app.add_typer(store.app, name="store")
app.add_typer(report.app, name="report")
app.command("serve", help=_paragraphs(serve.HELP))(serve.serve)
app.command("check", help=_paragraphs(check.HELP))(check.check)
app.command("scan", help=_paragraphs(scan.HELP))(scan.scan)
app.command("bench", help=_paragraphs(bench.HELP))(bench.bench)
app.command("hash", help=_paragraphs(hash.HELP))(hash.hash_files)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
        return result if isinstance(result, int) else OK
    except typer.Exit as done:
        return done.exit_code
    except _USAGE_ERRORS as error:
        error.show()
        return BadInput.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("hashserver: interrupted", file=sys.stderr)
        return Trouble.exit_code
    except BrokenPipeError:
        return Trouble.exit_code
    except Exception as error:
        code = _code_for(error)
        if code is None:
            raise
        print(f"hashserver: {_sentence(error)}", file=sys.stderr)
        return code


# Trouble with a path that the user has named, and what to do about it.
_PATHS: dict[type[Exception], str] = {
    FileNotFoundError: "there is no such file or folder; make it, or name another",
    FileExistsError: "this is a file, and a folder is needed here; name another",
    NotADirectoryError: "this is a file, and a folder is needed here; name another",
    IsADirectoryError: "this is a folder, and a file is needed here; name another",
    PermissionError: "this user may not use it; change its owner or its mode, or name another",
}


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {_PATHS.get(type(error), error.strerror)}"
    return str(error)


def _code_for(error: Exception) -> int | None:
    """The exit code for trouble that is expected; None for a bug."""
    if isinstance(error, BadInput | Refused):
        return BadInput.exit_code
    if isinstance(error, Trouble | HashcoreError):
        return Trouble.exit_code
    if isinstance(error, OSError):
        named = error.filename is not None and type(error) in _PATHS
        return BadInput.exit_code if named else Trouble.exit_code
    return None
