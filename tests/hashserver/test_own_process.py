"""Processes of our own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hashserver.processes import command


def test_a_function_of_a_module_is_called_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "shouts.py").write_text("def main(*arguments): print(*map(repr, arguments))\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit('the folder that we are in is not imported from')\n")
    monkeypatch.syspath_prepend(modules)
    ran = subprocess.run(
        command("shouts", "it's", 7, 0.5, True), cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, '"it\'s" 7 0.5 True\n', "")
