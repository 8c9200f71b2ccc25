"""Temporary folders named by their processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from hashserver.processes import make_own_folder


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
