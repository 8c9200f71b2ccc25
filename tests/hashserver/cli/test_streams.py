"""Standard streams that are closed, full or of another encoding, and a folder that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HASHSERVER = [sys.executable, "-m", "hashserver"]
MD5_OF_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


def ended(script: str, folder: Path, **environment: str) -> tuple[int, bytes, bytes]:
    """Run a shell's line, in which "$@" is the command; its exit code, output and messages."""
    ran = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *HASHSERVER],
        capture_output=True,
        cwd=folder,
        env=os.environ | environment,
    )
    return ran.returncode, ran.stdout, ran.stderr


def is_one_sentence(said: bytes) -> bool:
    return said.startswith(b"hashserver: ") and said.count(b"\n") == 1 and b"Traceback" not in said


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('"$@" hash file >&-', b"standard output cannot be written"),
        ('"$@" hash file >/dev/full', b"no space left"),
        ('"$@" --help >/dev/full', b"no space left"),
        ('"$@" check - <&-', b"standard input or standard output is closed"),
        (
            'mkdir gone; cd gone; rmdir ../gone; "$@" load - --set a </dev/null',
            b"working directory no longer exists",
        ),
        ('mkdir gone; cd gone; rmdir ../gone; "$@" scan .', b"working directory no longer exists"),
    ],
)
def test_trouble_with_a_stream_or_the_folder_is_one_sentence(script: str, says: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    code, _, said = ended(script, tmp_path)
    assert code == 3
    assert is_one_sentence(said), said
    assert says in said


@pytest.mark.parametrize(
    "script", ['"$@" hash file 2>&-', '"$@" hash file <&- 2>&-', '"$@" hash file 2>/dev/full']
)
def test_messages_that_nobody_reads_stop_nothing(script: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    code, output, _ = ended(script, tmp_path)
    assert code == 0
    assert MD5_OF_EMPTY.encode() in output


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"caf\\xe9"),
        ({"PYTHONIOENCODING": "utf-8"}, b"caf\xc3\xa9"),
        ({"LC_ALL": "C", "PYTHONIOENCODING": ""}, b"caf\xc3\xa9"),
    ],
)
def test_a_name_that_the_encoding_lacks_is_printed_all_the_same(
    environment: dict[str, str], printed: bytes, tmp_path: Path
) -> None:
    (tmp_path / "caf\u00e9").write_bytes(b"")
    code, output, said = ended('"$@" hash caf*', tmp_path, TMPDIR="/nowhere", **environment)
    assert (code, said) == (0, b"")
    assert MD5_OF_EMPTY.encode() in output
    assert printed in output
