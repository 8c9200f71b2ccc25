"""The reference pages name everything that the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import write_docs
from pydantic import Field

from hashserver.app import create_app
from hashserver.cli.main import EXIT_CODES, app
from hashserver.server import dashboard
from hashserver.settings import Settings

ROOT = Path(write_docs.__file__).parents[1]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: (ROOT / "docs" / name).read_text("utf-8") for name in write_docs.PAGES}


def test_the_pages_are_up_to_date_on_every_machine(tmp_path: Path) -> None:
    """A home folder, a terminal, a language and settings of this machine change nothing."""
    ours = {"HOME": "/nowhere", "COLUMNS": "40", "LANG": "C", "HASHSERVER_PORT": "99", "FORCE_COLOR": "1"}
    checked = subprocess.run(
        [sys.executable, write_docs.__file__, "--check"],
        cwd=tmp_path,
        env=os.environ | ours,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_page_that_is_out_of_date_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(write_docs, "FOLDER", tmp_path)
    monkeypatch.setattr(write_docs, "PAGES", {"settings.md": write_docs.settings_page})
    (tmp_path / "settings.md").write_text("old")
    assert write_docs.main(["--check"]) == 1
    assert "out of date: settings.md; run make docs" in capsys.readouterr().err
    assert (tmp_path / "settings.md").read_text() == "old"
    assert write_docs.main([]) == 0
    assert write_docs.main(["--check"]) == 0


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_there(name: str, pages: dict[str, str]) -> None:
    row = next(line for line in pages["settings.md"].splitlines() if line.startswith(f"| `{name}` |"))
    assert f"`HASHSERVER_{name.upper()}`" in row
    assert str(Settings.model_fields[name].description) in row


def test_a_new_setting_would_be_missed(monkeypatch: pytest.MonkeyPatch, pages: dict[str, str]) -> None:
    class More(Settings):
        patience: float = Field(1.5, gt=0, description="how long to be patient")

    monkeypatch.setattr(write_docs, "Settings", More)
    row = "| `patience` | `HASHSERVER_PATIENCE` | number, more than 0 | `1.5` | how long to be patient |"
    assert row in write_docs.settings_page()
    assert write_docs.settings_page() != pages["settings.md"]


def below(command: Any, words: str) -> dict[str, Any]:
    """Every command by its words, hidden ones left out."""
    found = {words: command}
    context = command.context_class(command)
    for name in command.list_commands(context) if hasattr(command, "list_commands") else []:
        inner = command.get_command(context, name)
        if not inner.hidden:
            found |= below(inner, f"{words} {name}")
    return found


COMMANDS = below(typer.main.get_command(app), "hashserver")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_there_with_all_its_options(words: str, pages: dict[str, str]) -> None:
    sections = dict(re.findall(r"(?ms)^## (hashserver[^\n]*)\n(.*?)(?=^## |\Z)", pages["commands.md"]))
    section = sections[words]
    names = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", "\n".join(re.findall(r"(?m)^\| `(.*?)` \|", section)))
    shown = [param for param in COMMANDS[words].params if not param.hidden]
    options = [param for param in shown if param.param_type_name == "option"]
    assert sorted(names) == sorted(spelling for one in options for spelling in (*one.opts, *one.secondary_opts))
    for one in shown:
        assert one.param_type_name == "option" or f"| `{one.metavar}" in section
    assert "hashserver " in section


def test_hidden_spellings_are_not_advertised(pages: dict[str, str]) -> None:
    assert "party allow" not in pages["commands.md"]
    assert "| `--hash " not in pages["commands.md"]


def test_every_exit_code_is_there(pages: dict[str, str]) -> None:
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in pages["commands.md"]


def test_every_route_is_there(pages: dict[str, str]) -> None:
    documented = create_app(Settings.model_construct()).app.openapi()["paths"]
    assert len(documented) > 15
    for path, methods in documented.items():
        for method, operation in methods.items():
            assert f"| {method.upper()} | `{path}` | {operation['summary']} |" in pages["reference.md"]


def test_every_route_of_the_dashboard_is_there(pages: dict[str, str]) -> None:
    source = "".join(file.read_text() for file in Path(dashboard.__file__).parent.glob("*.py"))
    paths = set(re.findall(r'"(/dashboard(?:/[a-z-]+)*)["/{]', source))
    assert len(paths) >= 6
    for path in paths:
        assert re.search(rf"\| (GET|POST) \| `{path}(/\{{name\}})?` \|", pages["reference.md"]), path


def test_every_metric_is_there(pages: dict[str, str]) -> None:
    """As a server names them, and as the code does."""
    served = list(write_docs.metrics())
    assert len(served) > 10
    for name, kind, meaning in served:
        assert f"| `{name}` | {kind} | {meaning} |" in pages["reference.md"]
    mentioned = re.findall(r"hashserver_[a-z_]+", (ROOT / "docs" / "operating.md").read_text("utf-8"))
    for name in mentioned:
        assert name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") in pages["reference.md"], (
            name
        )
