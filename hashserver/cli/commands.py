"""What commands have in common: how their help looks, and importing only the one that runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

_Function = TypeVar("_Function", bound=Callable[..., Any])

MODULES = {
    name: f"hashserver.cli.{name}"
    for name in ("load", "sets", "party", "store", "report", "serve", "check", "scan", "bench", "hash")
}
"""The module of each command; its commands are in `app`."""


class Command(TyperCommand):
    """A command whose help names values in words rather than by Python's types."""

    def __init__(self, *arguments: Any, help: str | None = None, **options: Any) -> None:
        super().__init__(*arguments, help=_laid_out(help), **options)

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, as the help shows them."""
        return _without_types_of_flags(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        return [self.options_metavar or "", *_arguments(self.params)]


class CommandGroup(TyperGroup):
    """A command with commands below it."""

    def __init__(self, *, help: str | None = None, **options: Any) -> None:
        super().__init__(help=_laid_out(help), **options)

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, as the help shows them."""
        return _without_types_of_flags(super().get_params(ctx))


class LazyGroup(CommandGroup):
    """The commands of `MODULES`, each imported when it runs or its help is shown."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None."""
        if cmd_name not in MODULES:  # all of them, for the one that may have been meant
            self.commands.update({name: self._import(name) for name in MODULES})
            return None
        return self._import(cmd_name)

    def _import(self, name: str) -> Any:
        if name not in self.commands:
            command = typer.main.get_command(import_module(MODULES[name]).app)
            command.name = name
            self.commands[name] = command
        return self.commands[name]


class Commands(typer.Typer):
    """The commands of a module.

    Args:
        options: of `typer.Typer`.
    """

    def __init__(self, **options: Any) -> None:
        look = {
            "cls": CommandGroup,
            "rich_markup_mode": "rich",
            "add_completion": False,
            "pretty_exceptions_enable": False,
        }
        super().__init__(**{**look, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[_Function], _Function]:
        """A decorator that makes a function a command; see `typer.Typer.command`."""
        return super().command(name, **{"cls": Command, **options})


def _laid_out(text: str | None) -> str | None:
    """A help text without line breaks inside paragraphs, and with examples that stay indented.

    The terminal's width decides the first; without markup, Typer takes the indentation away.
    """
    if text is None:
        return None
    return re.sub(r"(?m)^  (?=\S)(.*)$", r"[not dim]  \1[/]", re.sub(r"(?<=\S)\n(?=\S)", " ", text))


def _without_types_of_flags(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_bool_flag", False):
            param.metavar = ""
    return params


def _arguments(params: list[Any]) -> list[str]:
    pieces = []
    for param in params:
        if param.param_type_name == "argument" and not param.hidden:
            name = param.metavar or param.name.upper()
            pieces.append((name if param.required else f"[{name}]") + "..." * (param.nargs != 1))
    return pieces
