"""Putting the commands together, and turning trouble into sentences and exit codes.

Exit codes: 0 done and nothing matched, 1 done and something matched, 2 usage or bad input, 3 server,
network or storage trouble.
"""

from __future__ import annotations

import sys

import click
import typer

from hashserver import __version__
from hashserver.cli import check, load, serve, sets

OK, MATCHED, BAD_INPUT, TROUBLE = 0, 1, 2, 3

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


app.command("load", help=load.HELP)(load.load)
app.add_typer(sets.app, name="sets")
app.command("serve", help=serve.HELP)(serve.serve)
app.command("check", help=check.HELP)(check.check)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
        return result if isinstance(result, int) else OK
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        print("hashserver: interrupted", file=sys.stderr)
        return TROUBLE
    except BrokenPipeError:
        return TROUBLE
    except Exception as error:
        code = _code_for(error)
        if code is None:
            raise
        print(f"hashserver: {error}", file=sys.stderr)
        return code


def _code_for(error: Exception) -> int | None:
    """The exit code for trouble that is expected; None for a bug."""
    from hashserver.readers.errors import ReadError
    from hashserver.settings import SettingsError

    if isinstance(error, ReadError | SettingsError):
        return BAD_INPUT
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"UnknownSet", "UnknownGeneration", "UnknownHashType", "FormatMismatch"}:
        return BAD_INPUT
    if kinds & {"HashcoreError", "ClientError"} or isinstance(error, OSError):
        return TROUBLE
    return None
