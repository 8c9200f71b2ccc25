from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hashserver.cli import check
from hashserver.cli.main import EXIT_CODES, INTERRUPTED, run


def test_an_unexpected_error_is_neither_a_match_nor_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would end in 1 if Python reported it, which says that something matched."""

    def fail(_given: object) -> None:
        raise ZeroDivisionError("division by a bug")

    monkeypatch.setattr(check, "read_distances", fail)
    assert run(["check", "-"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("hashserver: an unexpected error, ZeroDivisionError at test_main.py:")
    assert ": division by a bug; please report it with what hashserver --debug prints" in said
    assert run(["--debug", "check", "-"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "please report it with the lines above" in said
    monkeypatch.setenv("HASHSERVER_DEBUG", "1")
    assert run(["check", "-"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "expected"), [(None, 0), (0, 0), (1, 3), (2, 2), (143, 143), ("no such thing", 3), (True, 3)]
)
def test_whoever_wants_to_end_the_process_does_not_say_that_something_matched(
    monkeypatch: pytest.MonkeyPatch, code: object, expected: int
) -> None:
    monkeypatch.setattr(check, "read_distances", lambda _given: sys.exit(code))  # type: ignore[arg-type]
    assert run(["check", "-"]) == expected


def test_no_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(check, "read_distances", fail)
    assert run(["check", "-"]) == 3
    assert capsys.readouterr().err == (
        "hashserver: there is not enough memory for this; end other programs, or give this one more\n"
    )


def test_an_interruption_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "read_distances", interrupt)
    assert run(["check", "-"]) == INTERRUPTED == 128 + signal.SIGINT
    assert capsys.readouterr().err == "hashserver: interrupted\n"


def test_a_pipe_whose_reader_has_gone_is_neither_done_nor_a_match(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "hashserver", "hash", __file__],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    os.close(writer)
    assert ran.returncode == 3
    assert ran.stderr == b""


def test_a_command_that_does_not_exist_names_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["laod"]) == 2
    assert "No such command 'laod'. Did you mean 'load'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["party", "add", "--help"]])
def test_help_and_version_are_done(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert "hashserver" in capsys.readouterr().out


def test_exit_codes_are_those_of_the_design() -> None:
    assert sorted(EXIT_CODES) == [0, 1, 2, 3, 4, INTERRUPTED]
