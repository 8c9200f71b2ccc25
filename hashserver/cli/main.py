"""Running a command, and turning what went wrong into a sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback

import typer
import typer.main

from hashserver import __version__
from hashserver.cli.commands import Commands, LazyGroup
from hashserver.errors import BadInput, Trouble

OK = 0
INTERRUPTED = 128 + signal.SIGINT

EXIT_CODES = {
    OK: "Done; nothing matched.",
    1: "Done; something matched (`check` and `scan`).",
    BadInput.exit_code: "Wrong usage or bad input. `store verify`: problems were found.",
    Trouble.exit_code: "Trouble with the server, the network or the store, or an unexpected error.",
    4: "A job is not complete.",
    INTERRUPTED: "Interrupted with Ctrl-C.",
}

app = Commands(
    name="hashserver",
    help="Match hashes against known hash sets, for hosting providers and hotlines.",
    cls=LazyGroup,
    no_args_is_help=True,
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
    pass


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code, one of `EXIT_CODES`.

    No error ends in 0 or 1, which say that a command is done.
    """
    try:
        command = typer.main.get_command(app)
        # Not by calling the command: that has exit codes of its own for pipes and signals.
        with command.make_context("hashserver", list(arguments)) as context:
            result = command.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else OK
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("hashserver: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return Trouble.exit_code
    except Exception as error:
        return _explain(error)


def _drop_output() -> None:
    """Discard buffered output: its reader is gone, and writing it at exit would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _explain(error: Exception) -> int:
    if isinstance(error, _usage_errors()):
        error.show()  # type: ignore[attr-defined]
        return BadInput.exit_code
    code = _code_for(error)
    if code is None:
        traceback.print_exception(error)
        print("hashserver: this is an error in hashserver; please report it with the lines above", file=sys.stderr)
        return Trouble.exit_code
    print(f"hashserver: {_sentence(error)}", file=sys.stderr)
    return code


def _usage_errors() -> tuple[type[Exception], ...]:
    """What typer raises for wrong usage: errors of click, which may be a click of its own."""
    return tuple(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


# Trouble with a path that the user has named, and what to do about it.
_PATHS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file or folder; create it, or name another",
    FileExistsError: "this is a file, but a folder is needed; name another",
    NotADirectoryError: "this is a file, but a folder is needed; name another",
    IsADirectoryError: "this is a folder, but a file is needed; name another",
    PermissionError: "permission denied; change its owner or mode, or name another",
}


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {_PATHS.get(type(error), error.strerror)}"
    return str(error)


def _code_for(error: Exception) -> int | None:
    """The exit code for trouble that is expected; None for a bug."""
    from hashcore.errors import HashcoreError, Refused

    if isinstance(error, BadInput | Refused):
        return BadInput.exit_code
    if isinstance(error, Trouble | HashcoreError):
        return Trouble.exit_code
    if isinstance(error, OSError):
        named = error.filename is not None and type(error) in _PATHS
        return BadInput.exit_code if named else Trouble.exit_code
    return None
