"""Tests of `hashserver.readers.rds` and `hashserver.readers.nsrl`."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_model import MD5, OTHER_MD5, SHA1, SHA256, Row, Taken, collect, is_hash, read, source_of

from hashserver.readers import ReadError, choose_format, default_role, open_source, read_rows
from hashserver.readers.rds import read_rds

SCHEMA = (
    "CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, crc32 VARCHAR, file_name VARCHAR, "
    "file_size INTEGER, package_id INTEGER, "
    "CONSTRAINT PK_FILE__FILE PRIMARY KEY (sha256, sha1, md5, file_name, file_size, package_id))"
)
DISTINCT = "CREATE VIEW DISTINCT_HASH AS SELECT DISTINCT sha256, sha1, md5, crc32 FROM FILE"


def database(path: Path, *statements: str, rows: list[tuple[Any, ...]] = []) -> Path:  # noqa: B006 - not changed
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as made, made:
        for statement in statements or (SCHEMA, DISTINCT):
            made.execute(statement)
        if rows:
            marks = ",".join("?" * len(rows[0]))
            made.executemany(f"INSERT INTO FILE VALUES ({marks})", rows)
    return path


def read_path(path: Path, **options: Any) -> Taken:
    with open_source(str(path)) as source:
        return collect(lambda on_reject: read_rds(source, hash_type=None, on_reject=on_reject, **options))


def record(sha256: Any = "", sha1: Any = "", md5: Any = "", name: str = "a") -> tuple[Any, ...]:
    return sha256, sha1, md5, "00000000", name, 1, 1


def test_the_rows_of_the_file_table_are_read_in_their_order(tmp_path: Path) -> None:
    rows = [record(SHA256.upper(), SHA1, MD5), record(None, None, OTHER_MD5), record("", SHA1.upper(), None)]
    path = database(tmp_path / "rds.db", rows=rows)
    expected = [
        Row(1, {"sha256": SHA256, "sha1": SHA1, "md5": MD5}),
        Row(2, {"md5": OTHER_MD5}),
        Row(3, {"sha1": SHA1}),
    ]
    for block_rows in (1, 2, 3, 100):
        assert read_path(path, block_rows=block_rows).rows == expected
    with open_source(str(path)) as source:
        taken = collect(lambda on_reject: read_rows(source, on_reject=on_reject))
    assert taken.rows == expected


@pytest.mark.parametrize("view", ["FILE", "DISTINCT_HASH"])
def test_a_view_is_read_where_there_is_no_table(tmp_path: Path, view: str) -> None:
    path = database(
        tmp_path / "rds.db",
        "CREATE TABLE hashes (a TEXT, b TEXT)",
        f"INSERT INTO hashes VALUES ('{MD5}', '{SHA1}')",
        f"CREATE VIEW {view} AS SELECT DISTINCT a AS MD5, b AS SHA1 FROM hashes",
    )
    assert read_path(path).rows == [Row(1, {"md5": MD5, "sha1": SHA1})]


def test_a_row_that_cannot_be_taken_is_rejected(tmp_path: Path) -> None:
    rows = [record(md5="9e10"), record(), record(md5=b"\0" * 16), record(md5=1.5), record(md5=MD5, name="b")]
    taken = read_path(database(tmp_path / "rds.db", rows=rows))
    assert taken.rows == [Row(5, {"md5": MD5})]
    assert [(reject.line, reject.reason) for reject in taken.rejects] == [
        (1, "md5: expected 32 hexadecimal digits, got 4"),
        (2, "no hash in this row"),
        (3, "md5: expected 32 hexadecimal digits, got 16"),
        (4, "md5: expected 32 hexadecimal digits, got 3"),
    ]


def test_a_number_in_place_of_a_hash_is_rejected(tmp_path: Path) -> None:
    path = database(tmp_path / "rds.db", "CREATE TABLE FILE (md5, sha1)", rows=[(7, SHA1)])
    assert [reject.reason for reject in read_path(path).rejects] == ["md5: expected text, got a number"]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    path = database(tmp_path / "rds #1?.db", rows=[record(md5=MD5)])
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    before = path.read_bytes()
    try:
        assert len(read_path(path).rows) == 1
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def recursive(path: Path) -> None:
    database(
        path,
        "CREATE VIEW FILE AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        f"SELECT '{MD5}' AS md5 FROM n",
    )


def huge(path: Path) -> None:
    database(path, "CREATE TABLE FILE (md5 TEXT)", rows=[(MD5,), ("0" * 5_000_000,)])


def waiting(path: Path) -> None:
    database(path, rows=[record(md5=MD5)])
    Path(f"{path}-wal").write_bytes(b"x")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a view without end": (recursive, "not a valid SQLite database.*not authorized"),
    "a value without end": (huge, "after row 0: string or blob too big"),
    "another table": (
        lambda path: database(path, "CREATE TABLE other (md5)"),
        "none of the tables of NSRL's data set",
    ),
    "no hashes": (lambda path: database(path, "CREATE TABLE FILE (name)"), "table FILE has no column named by"),
    "a journal": (waiting, "uncommitted changes are in"),
    "only a header": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)),
        "not a valid SQLite database",
    ),
    "a packed one": (
        lambda path: path.write_bytes(gzip.compress(database(path, rows=[record(md5=MD5)]).read_bytes())),
        "cannot be read from a pipe or packed; unpack it",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_hostile_or_broken_is_refused_in_words(tmp_path: Path, case: str) -> None:
    make, reason = HOSTILE[case]
    make(tmp_path / "rds.db")
    with pytest.raises(ReadError, match=f"rds.db.*({reason})"):
        read_path(tmp_path / "rds.db")


def test_a_pipe_is_refused_with_advice() -> None:
    with pytest.raises(ReadError, match="input: an SQLite database cannot be read from a pipe"):
        read(b"SQLite format 3\0")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_gives_rows_rejects_or_a_read_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "rds.db"
    rows = [record(SHA256, SHA1, MD5, str(number)) for number in range(200)]
    content = bytearray(database(path, rows=rows).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(0, 200)))
        content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    path.write_bytes(bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(16, len(content))))]))
    errors = []
    taken = Taken()
    try:
        taken = read_path(path, block_rows=50)
    except ReadError as error:
        errors.append(str(error))
    assert all("rds.db" in error for error in errors)
    assert [row.line for row in taken.rows] == sorted({row.line for row in taken.rows})


VALUES = st.one_of(
    st.none(), st.sampled_from([MD5, MD5.upper(), "", "x", SHA1]), st.integers(0, 9), st.binary(max_size=3)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(VALUES, VALUES), max_size=8), st.integers(1, 5))
def test_values_of_every_kind_give_what_the_model_gives(
    tmp_path: Path, rows: list[tuple[Any, Any]], block_rows: int
) -> None:
    path = database(tmp_path / "rds.db", "CREATE TABLE FILE (md5, sha1)", rows=rows)

    def good(row: tuple[Any, Any]) -> bool:
        given = [
            (hash_type, value)
            for hash_type, value in zip(("md5", "sha1"), row, strict=True)
            if value not in (None, "", b"")
        ]
        return bool(given) and all(
            isinstance(value, str) and is_hash(hash_type, value.encode()) for hash_type, value in given
        )

    taken = read_path(path, block_rows=block_rows)
    assert [row.line for row in taken.rows] == [line for line, row in enumerate(rows, 1) if good(row)]
    assert [reject.line for reject in taken.rejects] == [line for line, row in enumerate(rows, 1) if not good(row)]


def test_nsrl_as_text_is_read_and_known_good_by_default() -> None:
    text = (
        '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\r\n'
        f'"{SHA1.upper()}","{MD5.upper()}","414FA339","a ""b"", \xff.txt",43,1,"362",""\r\n'
    ).encode("latin-1")
    assert read(text).rows == [Row(2, {"sha1": SHA1, "md5": MD5}, name=b'a "b", \xff.txt')]
    assert default_role(source_of(text), "nsrl") == "known-good"
    assert default_role(source_of(b"md5\n"), "csv") is None


def test_only_a_database_that_is_nsrls_becomes_known_good(tmp_path: Path) -> None:
    for name, columns, expected in (
        ("nsrl", "sha256, sha1, md5, crc32, file_name, file_size, package_id", "known-good"),
        ("own", "md5, category", None),
    ):
        path = tmp_path / f"{name}.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"CREATE TABLE FILE ({columns})")
            database.commit()
        with open_source(str(path)) as source:
            assert choose_format(source, None, None) == "rds"
            assert default_role(source, "rds") == expected
