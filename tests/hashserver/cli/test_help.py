"""Every command's help, on a narrow and a wide terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from rich.text import Text

from hashserver.cli.main import app, run

WIDTHS = (80, 120)


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Every command's words, the command, and its context; hidden ones are left out."""
    root = typer.main.get_command(app)
    waiting = [("", root, root.context_class(root, info_name="hashserver"))]
    while waiting:
        words, command, context = waiting.pop(0)
        yield words, command, context
        for name in getattr(command, "list_commands", lambda _: [])(context):
            found = command.get_command(context, name)
            if not found.hidden:
                inner = found.context_class(found, info_name=name, parent=context)
                waiting.append((f"{words} {name}".strip(), found, inner))


COMMANDS = {words: (command, context) for words, command, context in commands()}


def shown(words: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run([*words.split(), "--help"]) == 0
    return capsys.readouterr().out


def squeezed(text: str) -> str:
    """Text without what differs with the terminal's width."""
    return re.sub(r"[\s│]", "", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_shown_whole_at_any_width(
    words: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(words, width, monkeypatch, capsys)
    command, context = COMMANDS[words]
    assert "…" not in text
    assert "<bool>" not in text
    assert "{" not in text
    assert max(map(len, text.splitlines())) <= width
    for line in Text.from_markup(command.help).plain.splitlines():
        assert squeezed(line) in squeezed(text)
        if line.startswith("  "):
            assert line in text, "an example is wrapped, so it cannot be copied"
    for param in command.get_params(context):
        if not param.hidden:
            assert all(name in text for name in param.opts if name.startswith("-"))
            assert param.help, param.name


@pytest.mark.parametrize("words", COMMANDS)
def test_defaults_are_shown(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"[\s│]+", " ", shown(words, 200, monkeypatch, capsys))
    command, _ = COMMANDS[words]
    for param in command.params:
        if isinstance(param.show_default, str):
            assert f"[default: ({param.show_default})]" in text
        elif param.default not in (None, False) and not param.hidden:
            assert f"[default: {param.default}]" in text


@pytest.mark.parametrize("words", COMMANDS)
def test_no_help_text_is_taken_for_markup(words: str) -> None:
    command, context = COMMANDS[words]
    for param in command.get_params(context):
        assert Text.from_markup(param.help or "").plain == (param.help or "")


def test_every_command_has_an_example_but_the_root() -> None:
    without = [words for words, (command, _) in COMMANDS.items() if "hashserver " not in (command.help or "")]
    assert without == [""]
