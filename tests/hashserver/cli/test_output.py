"""Tables of matches and rejects take the place of their own kind, and of no other file."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashserver.cli.main import run
from hashserver.cli.output import NotOurFile, check_table

SCAN = ("path", "size", "mtime")


@pytest.mark.parametrize(
    "content", [b"", b"path,size,mtime,type,hash\n", b"path,size,mtime\r\n", b'{"path":"/srv/a","size":1}\n']
)
def test_a_table_of_ours_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hits.csv").write_bytes(content)
    check_table(tmp_path / "hits.csv", *SCAN)


@pytest.mark.parametrize("content", [b"md5,category,id\n", b"path,md5\n", b"PAR1", b'{"md5":"a"}\n', b"\0"])
def test_other_files_are_not_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "police.csv").write_bytes(content)
    with pytest.raises(NotOurFile, match="nothing was overwritten"):
        check_table(tmp_path / "police.csv", *SCAN)


def test_parquet_is_known_by_its_columns(tmp_path: Path) -> None:
    for name, columns in (("ours", [*SCAN, "type"]), ("set", ["md5", "size", "mtime"])):
        pq.write_table(pa.table({column: [1] for column in columns}), tmp_path / name)
    check_table(tmp_path / "ours", *SCAN)
    with pytest.raises(NotOurFile):
        check_table(tmp_path / "set", *SCAN)


def test_what_is_not_there_and_what_holds_nothing_can_be_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (None, tmp_path / "new.csv", tmp_path / "pipe", Path("/dev/null")):
        check_table(file, *SCAN)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "list.md5", "-o", "police.csv"),
        ("scan", ".", "--report", "police.csv"),
        ("load", "list.md5", "--set", "a", "--rejects", "police.csv", "--data-dir", "data"),
    ],
)
def test_no_command_writes_over_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.md5").write_text("9e107d9d372bb6826bd81d3542a419d6\n")
    (tmp_path / "police.csv").write_text("md5,category\n9e107d9d372bb6826bd81d3542a419d6,a\n")
    assert run([*arguments]) == 2
    assert "police.csv exists and is not a table of hashserver" in capsys.readouterr().err
    assert (tmp_path / "police.csv").read_text().startswith("md5,category")
    assert not (tmp_path / "data").exists()
