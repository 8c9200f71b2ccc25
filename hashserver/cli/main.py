"""Running a command, and turning what went wrong into a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
import typer.main

from hashserver import __version__
from hashserver.cli.commands import Commands, LazyGroup
from hashserver.cli.streams import close_streams, flush_output, open_streams, say
from hashserver.errors import BadInput, Trouble

OK = 0
INTERRUPTED = 128 + signal.SIGINT
_MOST_TOLD = 300  # characters of the text of an unforeseen error

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


_DEBUG = "hashserver.debug"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hashserver {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Print the traceback of an error, too; also with HASHSERVER_DEBUG=1."
    ),
) -> None:
    context.meta[_DEBUG] = debug


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code, one of `EXIT_CODES`.

    No error ends in 0 or 1, which say that a command is done.
    """
    open_streams()
    debug = os.environ.get("HASHSERVER_DEBUG", "0").lower() not in ("", "0", "no", "false")
    context: Any = None
    try:
        command = typer.main.get_command(app)
        # Not by calling the command: that has exit codes of its own for pipes and signals.
        try:
            with command.make_context("hashserver", list(arguments)) as context:
                result = command.invoke(context)
        except typer.Exit as done:
            result = done.exit_code
        flush_output()
        return result if isinstance(result, int) else OK
    except (typer.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return Trouble.exit_code
    except SystemExit as ended:
        return _code_of(ended)
    except Exception as error:
        return _explain(error, debug or (context is not None and context.meta.get(_DEBUG, False)))
    finally:
        close_streams()


def _code_of(ended: SystemExit) -> int:
    """The exit code of something that wanted to end the process; 1 is for matches alone."""
    if isinstance(ended.code, str):
        say(ended.code)
    if ended.code is None:
        return OK
    return ended.code if isinstance(ended.code, int) and ended.code != 1 else Trouble.exit_code


def _explain(error: Exception, debug: bool) -> int:
    if isinstance(error, _usage_errors()):
        error.show()  # type: ignore[attr-defined]
        return BadInput.exit_code
    if debug:
        with suppress(OSError):
            traceback.print_exception(error)
    code = _code_for(error)
    if code is None:
        say(_unforeseen(error, debug))
        return Trouble.exit_code
    say(_sentence(error))
    return code


def _unforeseen(error: Exception, debug: bool) -> str:
    """One sentence about an error in the program, with the place where it was raised."""
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    what = " ".join(str(error).split())[:_MOST_TOLD]
    report = "report it with the lines above" if debug else "report it with what hashserver --debug prints"
    return f"an unexpected error, {type(error).__name__}{place}: {what or 'no details'}; please {report}"


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
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; end other programs, or give this one more"
    if _lost_working_folder(error):
        return "the working directory no longer exists; change to another one and try again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {_PATHS.get(type(error), error.strerror)}"
    if isinstance(error, OSError) and error.errno is not None:
        return _REFUSED.get(error.errno, f"the system refuses this: {error.strerror}")
    return str(error)


_REFUSED = {
    errno.EBADF: "standard input or standard output is closed, and this needs it",
    errno.ENOSPC: "no space left on a disk that this writes to, or for standard output; make room and try again",
}


def _lost_working_folder(error: Exception) -> bool:
    if not isinstance(error, FileNotFoundError):
        return False
    try:
        os.getcwd()
    except OSError:
        return error.filename is None or not os.path.isabs(error.filename)
    return False


def _code_for(error: Exception) -> int | None:
    """The exit code for trouble that is expected; None for a bug."""
    from hashcore.errors import HashcoreError, Refused

    if isinstance(error, BadInput | Refused):
        return BadInput.exit_code
    if isinstance(error, Trouble | HashcoreError | MemoryError):
        return Trouble.exit_code
    if isinstance(error, OSError):
        named = error.filename is not None and type(error) in _PATHS and not _lost_working_folder(error)
        return BadInput.exit_code if named else Trouble.exit_code
    return None
