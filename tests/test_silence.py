"""Nothing silent: what was taken, rejected, not checkable and withdrawn adds up to what was put in.

Every format, every body of `/v2/check` and files of several kinds are generated with a known part
that cannot be taken. Whatever becomes of that part, it is counted; and "all clear", which is exit
code 0, is only said when nothing of it was left out.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import escape

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from serving import Server, load, serving

from hashcore import LoadOptions, Store
from hashcore.rows import Reject, Rows, Withdrawals
from hashserver.cli.main import run
from hashserver.readers import FORMATS, open_source, read_rows

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
KNOWN = range(4)
"""Numbers whose MD5s the server knows."""


@dataclass(frozen=True)
class Item:
    """One thing that is put in.

    Args:
        kind: good, bad (digits), short, missing (no hash), benign, or deleted.
        number: of the hash.
    """

    kind: str
    number: int

    @property
    def written(self) -> str:
        """The hash, as far as it has one."""
        digits = md5(self.number)
        return {"bad": f"zz{digits[2:]}", "short": digits[:-2], "missing": "", "benign": EMPTY_MD5}.get(
            self.kind, digits
        )


def md5(number: int) -> str:
    """An MD5 that starts with a number, so that no two are near."""
    return f"{number:08x}" + "5" * 24


def in_lines(head: str, line: Callable[[Item], str], tail: str = "") -> Callable[[list[Item]], bytes]:
    """How a format of lines is written."""
    return lambda items: (head + "".join(line(item) + "\n" for item in items) + tail).encode()


def in_json(head: str, item: Callable[[Item], dict[str, Any]], tail: str) -> Callable[[list[Item]], bytes]:
    """How a format of JSON is written, one object a line."""
    return lambda items: (head + ",\n".join(json.dumps(item(each)) for each in items) + tail).encode()


def only(**members: Any) -> dict[str, Any]:
    """Members that have a value."""
    return {name: value for name, value in members.items() if value != ""}


def parquet(items: list[Item]) -> bytes:
    out = io.BytesIO()
    columns = {"md5": [item.written or None for item in items], "id": [item.number for item in items]}
    pq.write_table(pa.table(columns, pa.schema([("md5", pa.string()), ("id", pa.int64())])), out)
    return out.getvalue()


def rds(items: list[Item]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rds.db"
        with closing(sqlite3.connect(path)) as made, made:
            made.execute("CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, file_name VARCHAR)")
            rows = [("", "", item.written, str(place)) for place, item in enumerate(items)]
            made.executemany("INSERT INTO FILE VALUES (?, ?, ?, ?)", rows)
        return path.read_bytes()


def etag(item: Item) -> str:
    """An ETag of an inventory: all look like one, and those of objects in parts are no MD5s."""
    return f"{md5(item.number)}-2" if item.kind in ("bad", "short") else item.written


def image(item: Item) -> str:
    """An item of NCMEC's XML."""
    if item.kind == "deleted":
        return f"<deletedImage><id>{item.number}</id></deletedImage>"
    hashes = f"<md5>{escape(item.written)}</md5>" if item.written else ""
    return f"<image><id>{item.number}</id><fingerprints>{hashes}</fingerprints></image>"


NCMEC = '<?xml version="1.0"?>\n<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">\n<images>\n'
VICS = '{"@odata.context": "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media",\n'

WRITERS: dict[str, Callable[[list[Item]], bytes]] = {
    "csv": in_lines("md5,id\n", lambda item: f"{item.written},{item.number}"),
    "text": in_lines("", lambda item: item.written),
    "sums": in_lines("", lambda item: f"{item.written}  file {item.number}"),
    "jsonl": in_lines("", lambda item: json.dumps(only(md5=item.written, id=str(item.number)))),
    "parquet": parquet,
    "vics": in_json(
        VICS + '"value": [\n', lambda item: {"MediaID": item.number, **only(MD5=item.written.upper())}, "]}\n"
    ),
    "exchange": in_json(
        '{"data": [\n',
        lambda item: (
            {"id": str(item.number), "type": "HASH_MD5", "should_delete": True}
            if item.kind == "deleted"
            else {"id": str(item.number), "type": "HASH_MD5", **only(raw_indicator=item.written)}
        ),
        "]}\n",
    ),
    "exchange-csv": in_lines("id,indicator,type\n", lambda item: f"{item.number},{item.written},HASH_MD5"),
    "tat": in_json(
        "[\n",
        lambda item: {
            **only(hash_digest=item.written),
            "algorithm": "MD5",
            "deleted": item.kind == "deleted",
            "id": item.number,
        },
        "]\n",
    ),
    "rds": rds,
    "ncmec": in_lines(NCMEC, image, "</images>\n</queryResult>\n"),
    "hashdeep": in_lines(
        "%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n## $ hashdeep -c md5 .\n##\n",
        lambda item: f"1,{item.written},file {item.number}",
    ),
    "nsrl": in_lines(
        '"SHA-1","MD5","CRC32","FileName"\n', lambda item: f'"","{item.written}","00000000","{item.number}"'
    ),
    "s3-inventory": in_lines(
        "",
        lambda item: f'"photos","{item.number}","1","2024-05-01T09:00:00.000Z","{etag(item)}","SSE-S3"',
    ),
    "rclone": in_json(
        "[\n",
        lambda item: {
            "Path": str(item.number),
            "Name": str(item.number),
            "Size": 1,
            "IsDir": False,
            "Hashes": only(md5=item.written),
        },
        "]\n",
    ),
    "s3-listing": in_json(
        '{"Contents": [\n', lambda item: {"Key": str(item.number), "ETag": f'"{item.written}"', "Size": 1}, "]}\n"
    ),
}
WITH_DELETIONS = {"exchange", "tat", "ncmec"}
A_BLANK_LINE = {"text", "sums"}
"""Formats in which an item without a hash is a line without anything, or no item at all."""


def test_every_format_is_tried() -> None:
    assert WRITERS.keys() == FORMATS.keys()


def items_of(format: str) -> st.SearchStrategy[list[Item]]:
    """Items of a file, of which the first is good: without one, some are refused as a whole."""
    kinds = ["good", "good", "bad", "short", "benign"]
    kinds += [] if format in A_BLANK_LINE else ["missing"]
    kinds += ["deleted"] if format in WITH_DELETIONS else []
    some = st.builds(Item, st.sampled_from(kinds), st.integers(100, 120))
    # NCMEC's reader says once what is deleted twice.
    some_once = st.lists(some, max_size=12, unique_by=lambda item: item if item.kind == "deleted" else object())
    return some_once.map(lambda items: [Item("good", 50), *items])


@contextmanager
def written(format: str, items: list[Item]) -> Iterator[Path]:
    """A folder of its own, with the items in a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "items"
        path.write_bytes(WRITERS[format](items))
        yield path


def run_in(folder: Path, *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process: its exit code, output and messages."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        code = run([str(each) for each in arguments])
    return code, out.getvalue(), err.getvalue()


# --- hashserver load -----------------------------------------------------------------------------


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_item_of_a_file_is_in_the_set_or_is_counted(format: str, data: st.DataObject) -> None:
    items = data.draw(items_of(format))
    rejects: list[Reject] = []
    withdrawn = 0

    def counted(blocks: Iterator[Rows | Withdrawals]) -> Iterator[Rows | Withdrawals]:
        nonlocal withdrawn
        for block in blocks:
            withdrawn += len(block) if isinstance(block, Withdrawals) else 0
            yield block

    with written(format, items) as path, open_source(str(path)) as source, Store(path.parent / "data") as store:
        rows = counted(read_rows(source, format=format, on_reject=rejects.append))
        tally = store.load("police", rows, LoadOptions("match"), now=1.0, on_reject=rejects.append).tally
        taken = tally.added + tally.unchanged + tally.duplicates
        gone = {item.number for item in items if item.kind == "deleted"}
        dropped = sum(item.kind == "good" and item.number in gone for item in items)  # withdrawn in the same file
        assert taken + dropped + len(rejects) + source.not_checkable + withdrawn == len(items)
        assert all(reject.reason for reject in rejects)
        good = sorted({item.number for item in items if item.kind == "good"} - gone)
        found = _known(store, good)
    assert found == len(good), "no item that can be taken is lost for another that cannot"
    left_out = [item for item in items if item.kind not in ("good", "deleted")]
    assert len(rejects) + source.not_checkable >= len(left_out) - dropped


def _known(store: Store, numbers: list[int]) -> int:
    from hashcore import hash_type

    if not numbers:
        return 0
    digests = np.frombuffer(bytes.fromhex("".join(map(md5, numbers))), np.uint8).reshape(-1, 16)
    with store.read() as snapshot:
        return len(set(snapshot.match(hash_type("md5"), digests).queries.tolist()))


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_what_the_command_says_of_a_load_adds_up(format: str, data: st.DataObject) -> None:
    items = data.draw(items_of(format))
    assume(all(item.kind != "deleted" for item in items))
    with written(format, items) as path:
        arguments = ("load", path, "--set", "police", "--role", "match", "--format", format, "--json")
        code, out, said = run_in(path.parent, *arguments, "--data-dir", path.parent / "data")
        assert code in (0, 2), said
        if code == 2:  # too much of it cannot be taken
            assert said.count("\n") >= 1
            return
        told = json.loads(out)
        counts = [told[each] for each in ("added", "already_there", "duplicates", "rejected", "without_hash")]
        assert sum(counts) == len(items)


@pytest.mark.parametrize("format", WRITERS)
def test_a_load_that_leaves_out_half_of_a_file_is_not_done(format: str) -> None:
    if format.startswith("s3-"):
        pytest.skip("a bucket's objects without an MD5 are no rejects: the load counts them apart")
    items = [Item("good", 1), Item("bad", 2), Item("good", 3), Item("short", 4)]
    with written(format, items) as path:
        arguments = ("load", path, "--set", "police", "--role", "match", "--format", format)
        code, _, said = run_in(path.parent, *arguments, "--data-dir", path.parent / "data")
        assert code == 2
        assert "--force" in said
        assert run_in(path.parent, *arguments, "--force", "--data-dir", path.parent / "data")[0] == 0


# --- hashserver check ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the MD5s of the numbers in `KNOWN`."""
    data = tmp_path_factory.mktemp("silence") / "data"
    load(data, "police", "".join(f"{md5(number)}\n" for number in KNOWN))
    with serving(data) as running:
        yield running


def check(server: Server, format: str, items: list[Item]) -> tuple[int, dict[str, Any]]:
    """The exit code of `hashserver check`, and its summary."""
    with written(format, items) as path:
        code, _, said = run_in(path.parent, "check", path, "--format", format, "--server", server.url, "--json")
    return code, json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_every_item_of_a_listing_is_checked_or_is_counted(
    server: Server, format: str, data: st.DataObject
) -> None:
    items = data.draw(items_of(format))
    assume(all(item.kind != "deleted" for item in items))
    code, told = check(server, format, items)
    assert told["checked"] + told["not_checked"] + told["not_checkable"] == len(items)
    whole = sum(item.kind in ("good", "benign") for item in items)
    assert told["checked"] == whole, "each item with a whole hash is checked, and no other"
    assert (told["matched"], code == 1) == (0, False)


@pytest.mark.parametrize("format", WRITERS)
def test_a_known_hash_is_found_beside_what_cannot_be_checked(server: Server, format: str) -> None:
    good = [Item("good", number) for number in range(50, 60)]
    code, told = check(server, format, [*good, Item("bad", 1), Item("good", 2), Item("short", 3)])
    assert (code, told["matched"]) == (4, 1)
    assert (told["checked"], told["not_checked"] + told["not_checkable"]) == (11, 2)


@pytest.mark.parametrize("format", WRITERS)
def test_all_clear_is_not_said_of_a_listing_that_was_checked_in_part(server: Server, format: str) -> None:
    assert check(server, format, [Item("good", 50), Item("good", 51)])[0] == 0
    code, _ = check(server, format, [Item("good", 50), Item("bad", 51)])
    assert code not in (0, 1)


@pytest.mark.parametrize("format", sorted(WITH_DELETIONS))
def test_a_withdrawn_item_of_a_listing_is_counted(server: Server, format: str) -> None:
    _, told = check(server, format, [Item("good", 50), Item("deleted", 51)])
    assert sum(value for name, value in told.items() if name in ("checked", "withdrawn") or "not_" in name) == 2


# --- POST /v2/check ------------------------------------------------------------------------------

HASHES = st.lists(
    st.one_of(
        st.integers(0, 50).map(md5),
        st.sampled_from(["", "zz", md5(1)[:-1], md5(1) + "0", "z" * 32, "é" * 16, " ", EMPTY_MD5]),
    ),
    max_size=12,
)


def is_whole(written: str) -> bool:
    return len(written) == 32 and all(digit in "0123456789abcdef" for digit in written)


def ask(server: Server, body: bytes, media_type: str, **parameters: str) -> dict[str, Any]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answer = client.post("/v2/check", content=body, params=parameters, headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def adds_up(told: dict[str, Any], given: list[str]) -> None:
    """What was checked and what is invalid is what was sent, each at its place."""
    assert told["checked"].get("md5", 0) + len(told["invalid"]) == len(given)
    assert [each["index"] for each in told["invalid"]] == [
        place for place, each in enumerate(given) if not is_whole(each)
    ]
    assert all(each["reason"] for each in told["invalid"])
    known = {md5(number) for number in KNOWN}
    assert [match["index"] for match in told["matches"]] == [
        place for place, each in enumerate(given) if each in known
    ]


@settings(max_examples=40, deadline=None)
@given(hashes=HASHES, others=st.lists(st.sampled_from([None, 1, True, [], {}, 1.5]), max_size=3))
@example(hashes=[], others=[])
def test_every_hash_of_a_json_body_is_checked_or_invalid(
    server: Server, hashes: list[str], others: list[Any]
) -> None:
    told = ask(server, json.dumps({"md5": [*hashes, *others]}).encode(), "application/json")
    adds_up(told, [*hashes, *("" for _ in others)])


@settings(max_examples=40, deadline=None)
@given(hashes=HASHES.map(lambda hashes: [each for each in hashes if each.strip()]))
def test_every_line_of_a_text_body_is_checked_or_invalid(server: Server, hashes: list[str]) -> None:
    adds_up(ask(server, "".join(f"{each}\n" for each in hashes).encode(), "text/plain", type="md5"), hashes)


@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(st.integers(0, 50), max_size=12), more=st.integers(0, 15))
def test_a_packed_body_is_checked_whole_or_refused(server: Server, numbers: list[int], more: int) -> None:
    body = bytes.fromhex("".join(map(md5, numbers))) + bytes(more)
    if not more:
        adds_up(ask(server, body, "application/octet-stream", type="md5"), list(map(md5, numbers)))
        return
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        media_type = {"Content-Type": "application/octet-stream"}
        answer = client.post("/v2/check", content=body, params={"type": "md5"}, headers=media_type)
    assert answer.status_code in (400, 422)


@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=12))
def test_every_value_of_an_arrow_body_is_checked_or_invalid(server: Server, numbers: list[int | None]) -> None:
    digests = [None if number is None else bytes.fromhex(md5(number)) for number in numbers]
    table = pa.table({"md5": pa.array(digests, pa.binary(16))})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    told = ask(server, sink.getvalue(), "application/vnd.apache.arrow.stream")
    adds_up(told, ["" if number is None else md5(number) for number in numbers])


# --- hashserver hash and scan --------------------------------------------------------------------


def picture(seed: int) -> bytes:
    """A JPEG that anybody can show."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).resize((256, 256)).save(out, "jpeg")
    return out.getvalue()


def make_file(kind: str, path: Path) -> None:
    """A file of a kind; "missing" and "folder" are not files."""
    whole = picture(len(path.name))
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "missing":
        content = {
            "text": b"text",
            "empty": b"",
            "picture": whole,
            "torn": whole[:200],
            "head": b"\x89PNG\r\n\x1a\n" + bytes(50),
        }
        path.write_bytes(content[kind])


FILES = ["text", "empty", "picture", "torn", "head"]
NO_FILES = ["missing", "folder", "loop"]


@settings(max_examples=10, deadline=None)
@given(kinds=st.lists(st.sampled_from([*FILES, *NO_FILES]), min_size=1, max_size=6))
def test_every_file_is_hashed_or_is_named(kinds: list[str]) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{place}-{kind}" for place, kind in enumerate(kinds)]
        for kind, path in zip(kinds, paths, strict=True):
            make_file(kind, path)
        code, out, said = run_in(Path(folder), "hash", *paths, "--json")
        hashed = [json.loads(line) for line in out.splitlines()]
        named = [path for path in paths if f"cannot read {path}" in said]
    assert len(hashed) + len(named) == len(kinds)
    assert Counter(kind in NO_FILES for kind in kinds)[True] == len(named)
    assert (code == 0) == (not named)
    assert code in (0, 2)
    notes = {line["path"]: line["note"] for line in hashed}
    for kind, path in zip(kinds, paths, strict=True):
        if kind in ("torn", "head"):
            assert notes[str(path)] is not None, "a picture that was not looked at says so"


@pytest.fixture
def scanned(server: Server, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Scan a folder with files of some kinds; the exit code, and what is said."""

    def scan(*kinds: str, root: str = "files") -> tuple[int, str]:
        folder = tmp_path / "files"
        folder.mkdir()
        for place, kind in enumerate(kinds):
            make_file(kind, folder / f"{place}-{kind}")
        arguments = ("scan", tmp_path / root, "--server", server.url, "--state", tmp_path / "state")
        code, _, said = run_in(tmp_path, *arguments, "--type", "md5,pdq", "--processes", "1")
        return code, said

    return scan


def test_a_scan_of_files_that_can_all_be_read_is_all_clear(scanned: Callable[..., tuple[int, str]]) -> None:
    code, said = scanned("text", "empty", "picture")
    assert code == 0
    assert "3 files" in said


def test_a_root_that_is_not_there_is_not_all_clear(scanned: Callable[..., tuple[int, str]]) -> None:
    code, _ = scanned("text", root="not mounted")
    assert code not in (0, 1)


@pytest.mark.parametrize("kind", ["head"])
def test_a_picture_that_could_not_be_decoded_is_not_all_clear(
    scanned: Callable[..., tuple[int, str]], kind: str
) -> None:
    code, said = scanned("text", kind)
    assert code not in (0, 1)
    assert kind in said or "decod" in said


def test_an_empty_root_is_not_passed_over_in_silence(scanned: Callable[..., tuple[int, str]]) -> None:
    _, said = scanned()
    assert "0 files" in said or "empty" in said
