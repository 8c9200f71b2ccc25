"""Which modules a command imports: the more it imports, the longer it takes to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WEB = {"fastapi", "starlette", "uvicorn", "httpx"}
RUN = """
import json, sys
from hashserver.cli.main import run
code = run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump([code, sorted(sys.modules)], file)
"""


def imported(*arguments: object, cwd: Path) -> set[str]:
    """The modules that a process has imported at the end of a command that succeeds."""
    listing = cwd / "modules.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHSERVER_")}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(listing), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=True,
    )
    code, modules = json.loads(listing.read_text())
    assert code == 0, ran.stderr.decode()
    return set(modules)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a listing, and a data folder with a set and a party."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "listing").write_text("d41d8cd98f00b204e9800998ecf84271\n")
    imported("load", "listing", "--set", "police", "--type", "md5", cwd=folder)
    imported("party", "add", "Example", cwd=folder)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "load listing --set police --type md5",
        "sets",
        "sets history",
        "party list",
        "party change Example --max-rate 5M/s",
        "store verify",
        "store backup backup",
        "store prune --keep-hits-days 10",
        "report usage",
        "report audit",
        "hash listing",
    ],
)
def test_a_command_that_does_not_serve_imports_no_web_framework(folder: Path, command: str) -> None:
    modules = imported(*command.split(), cwd=folder)
    assert not WEB & modules
    own = {name.split(".")[2] for name in modules if name.startswith("hashserver.cli.")}
    others = {"load", "sets", "party", "store", "report", "serve", "check", "scan", "bench", "hash"}
    assert own & others == {command.split()[0]}


def test_a_change_of_parties_imports_neither_numpy_nor_the_engine(folder: Path) -> None:
    modules = imported("party", "disable", "Example", cwd=folder)
    assert not {"numpy", "numba", "lmdb", "hashcore"} & modules
