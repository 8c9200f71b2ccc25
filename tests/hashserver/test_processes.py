"""Folders that no kill leaves for good, and processes that get their arguments and nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hashserver.processes import command, make_own_folder


def test_folders_of_the_dead_are_cleared_and_those_of_the_living_stay(tmp_path: Path) -> None:
    program = "import sys; from hashserver.processes import *; print(make_own_folder('kept-', Path(sys.argv[1])))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    dead = Path(
        subprocess.check_output([sys.executable, "-c", program, tmp_path], text=True, env=environment).strip()
    )
    assert dead.is_dir()
    (dead / "file").touch()
    for name in ("kept-by-nobody", f"kept-{2**22 + 1}", f"other-{2**22 + 1}-x"):
        (tmp_path / name).mkdir()
    first = make_own_folder("kept-", tmp_path)
    second = make_own_folder("kept-", tmp_path)
    assert not dead.exists()
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {first.name, second.name, "kept-by-nobody", f"kept-{2**22 + 1}", f"other-{2**22 + 1}-x"}


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
