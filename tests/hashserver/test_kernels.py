"""Where compiled kernels go on machines where the usual places cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hashserver import kernels
from hashserver.kernels import VARIABLE, choose_cache

NOWHERE = Path("/dev/null/nowhere")


@pytest.fixture(autouse=True)
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that can be written, and nothing else: no home, no temporary folder."""
    source = tmp_path / "installed" / "hashcore"
    source.mkdir(parents=True)
    (source / "kernel.py").write_text("class Column: ...\n")
    monkeypatch.setattr(kernels, "_source", lambda: source)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(NOWHERE))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return source


def read_only(source: Path) -> None:
    """As root sees no modes, a file stands where the folder would be made."""
    (source / "__pycache__").write_text("")


def chosen(folder: Path | None = None, *, create: bool = False) -> Path:
    os.environ[VARIABLE] = ""
    choose_cache(folder, create=create)
    place = Path(os.environ[VARIABLE])
    assert place.is_dir()
    return place


def test_the_first_place_that_can_be_written_is_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    assert chosen(data).parent == source / "__pycache__"
    assert not data.exists(), "a command that only reads creates no data folder"
    for cached in (source / "__pycache__").iterdir():
        cached.rmdir()
    (source / "__pycache__").rmdir()
    read_only(source)
    assert chosen(data).parent == tmp_path / "temporary" / f"hashserver-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert chosen(data).parent == tmp_path / "caches" / "hashserver"
    assert chosen(data, create=True).parent == data
    assert chosen(data).parent == data


def test_a_user_without_a_home_is_no_trouble(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    read_only(source)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert chosen().parent.name == f"hashserver-{os.getuid()}"


def test_a_temporary_folder_that_others_could_write_is_not_used(source: Path, tmp_path: Path) -> None:
    """What is cached is code: whoever can put files there would run it here."""
    read_only(source)
    planted = tmp_path / "temporary" / f"hashserver-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    assert planted not in chosen().parents
    planted.rmdir()
    (tmp_path / "elsewhere").mkdir()
    planted.symlink_to(tmp_path / "elsewhere")
    assert not chosen().is_relative_to(tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_place_that_was_named_is_taken_if_it_can_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    choose_cache()
    assert os.environ[VARIABLE] == str(tmp_path / "named")
    monkeypatch.setenv(VARIABLE, str(NOWHERE))
    choose_cache()
    assert Path(os.environ[VARIABLE]).parent == source / "__pycache__"
    assert f"{VARIABLE}: {NOWHERE} cannot be written" in capsys.readouterr().err


def test_a_full_disk_is_passed_over(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = kernels.shutil.disk_usage(tmp_path)
    full = source / "__pycache__"
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: usage._replace(free=0) if full in Path(path).parents else usage
    )
    assert chosen().parent == tmp_path / "temporary" / f"hashserver-{os.getuid()}"


def test_other_sources_have_a_cache_of_their_own_and_old_ones_go(source: Path) -> None:
    places = []
    for number in range(5):
        (source / "kernel.py").write_text(f"class Renamed{number}: ...\n")
        places.append(chosen())
        os.utime(places[-1], (number, number))
        assert chosen() == places[-1]
    assert len(set(places)) == 5
    assert [place.exists() for place in places] == [False, False, True, True, True]


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hashserver import kernels
source = Path(sys.argv[1])
kernels._source = lambda: source
kernels.choose_cache()
import kernel
print(kernel.second(kernel.Pair(1, 2)))
"""
KERNEL = """
from typing import NamedTuple
import numba
class {name}(NamedTuple):
    one: int
    two: int
@numba.njit(cache=True)
def second(pair):
    return pair.two {more}
Pair = {name}
"""


def test_a_class_may_be_renamed_by_an_upgrade_in_place(source: Path) -> None:
    """numba reads the class out of its index before it sees that the index is of another source."""
    answers = []
    for name, more in (("Column", ""), ("Columns", "+ 1")):
        (source / "kernel.py").write_text(KERNEL.format(name=name, more=more))
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(source)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(ran.stdout.strip())
    assert answers == ["2", "3"]
