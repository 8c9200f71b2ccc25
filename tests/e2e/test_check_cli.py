"""`hashserver check`, as a hosting provider runs it against a server."""

from __future__ import annotations

import csv
import io
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from serving import Ran, Server, finish, md5_of, run, start

KNOWN = [md5_of(f"known {number}") for number in range(20)]
COLUMNS = ["line", "name", "type", "hash", "distance", "set", "category", "id"]


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A check against a port that nobody listens on; it retries while the other tests run."""
    folder = tmp_path_factory.mktemp("down")
    (folder / "list.txt").write_text(KNOWN[0] + "\n")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen: nobody else gets the port
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        process = start("check", "list.txt", "--server", url, cwd=folder)
        yield process
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def server(police: Server) -> Server:
    return police


def check(server: Server, folder: Path, listing: str | bytes, *options: object) -> Ran:
    """Check a listing on standard input."""
    content = listing.encode() if isinstance(listing, str) else listing
    return run("check", "-", "--server", server.url, *options, cwd=folder, stdin=content)


LISTING = f"{md5_of('unknown')}  nothing.jpg\n{KNOWN[4].upper()}  album/four.jpg\n{KNOWN[2]} *two, or so.jpg\n"
FOUND = [
    {"line": 2, "name": "album/four.jpg", "hash": KNOWN[4], "id": "A-4"},
    {"line": 3, "name": "two, or so.jpg", "hash": KNOWN[2], "id": "A-2"},
]
EVERY = {"type": "md5", "distance": 0, "set": "police", "category": "baseline"}


def test_matches_are_csv_on_standard_output_and_the_code_is_1(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, LISTING)
    assert ran.code == 1
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert list(rows[0]) == COLUMNS
    assert rows == [{name: str(value) for name, value in (EVERY | found).items()} for found in FOUND]
    assert "3 hashes checked" in ran.err
    assert "2 matched, 0 lines not checked, generation 1" in ran.err


def test_what_a_list_has_withdrawn_is_not_asked_about(server: Server, tmp_path: Path) -> None:
    items = [
        {"id": 1, "hash_digest": KNOWN[1], "algorithm": "MD5", "deleted": True},
        {"id": 2, "hash_digest": KNOWN[2], "algorithm": "MD5", "deleted": False},
    ]
    ran = check(server, tmp_path, json.dumps(items), "--json")
    assert ran.code == 1
    assert [json.loads(line)["line"] for line in ran.out.splitlines()] == [2]
    assert "1 hashes checked" in ran.err


def test_nothing_matched_is_code_0(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, md5_of("unknown") + "\n")
    assert ran.code == 0
    assert ran.out == ",".join(COLUMNS) + "\n"
    assert "1 hashes checked" in ran.err


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (("--json",), None),
        (("--output-format", "jsonl", "--output", "hits.txt"), "hits.txt"),
        (("--output", "hits.jsonl"), "hits.jsonl"),
    ],
)
def test_matches_are_json_lines_on_demand_or_by_the_files_name(
    server: Server, tmp_path: Path, options: tuple[str, ...], written: str | None
) -> None:
    ran = check(server, tmp_path, LISTING, *options)
    assert ran.code == 1
    text = ran.out if written is None else (tmp_path / written).read_text()
    assert [json.loads(line) for line in text.splitlines()] == [EVERY | found for found in FOUND]
    if written is not None:
        assert ran.out == ""


def test_a_file_of_matches_is_csv_and_no_cell_of_it_is_a_formula(server: Server, tmp_path: Path) -> None:
    listing = f"{md5_of('formula')}  =HYPERLINK(evil).jpg\n{KNOWN[0]}  @home.jpg\n"
    ran = check(server, tmp_path, listing, "-o", "hits.csv")
    assert (ran.code, ran.out) == (1, "")
    rows = list(csv.DictReader((tmp_path / "hits.csv").open(newline="")))
    assert [(row["name"], row["category"], row["id"]) for row in rows] == [
        ("'=HYPERLINK(evil).jpg", "'=cmd()", "'+1"),
        ("'@home.jpg", "baseline", "A-0"),
    ]


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_file_name_in_an_old_encoding_does_not_stop_a_check(
    server: Server, tmp_path: Path, format_name: str
) -> None:
    listing = KNOWN[1].encode() + b"  stra\xdfe.jpg\n"
    ran = check(server, tmp_path, listing, "--output-format", format_name)
    assert ran.code == 1, ran.err
    assert KNOWN[1] in ran.out
    assert ".jpg" in ran.out


def test_lines_without_a_hash_are_counted_and_named(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, f"md5\n{KNOWN[0]}\nabc\n{md5_of('unknown')}\nxyz\n")
    assert ran.code == 4, "all was not checked, though something matched"
    assert check(server, tmp_path, f"md5\n{md5_of('unknown')}\nxyz\n").code == 4
    assert "2 hashes checked" in ran.err
    assert "1 matched, 2 lines not checked" in ran.err
    assert "line 3: md5: expected 32 hexadecimal digits, got 3" in ran.err
    assert "line 5: md5:" in ran.err


def test_a_listing_without_one_good_line_is_bad_input(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, "md5\nabc\nxyz\n")
    assert ran.code == 2
    assert "0 hashes checked" in ran.err
    assert "2 lines not checked, generation none" in ran.err
    assert "Traceback" not in ran.err


def test_an_empty_listing_matches_nothing(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, "")
    assert ran.code == 0
    assert "0 hashes checked" in ran.err
    assert "Traceback" not in ran.err


def test_small_batches_over_several_connections_find_the_same_in_the_same_order(
    server: Server, tmp_path: Path
) -> None:
    asked = [KNOWN[number % 20] if number % 3 else md5_of(f"unknown {number}") for number in range(200)]
    ran = check(server, tmp_path, "\n".join(asked), "--batch", 7, "--connections", 3, "--json")
    assert ran.code == 1
    assert [(hit["line"], hit["hash"]) for hit in ran.lines] == [
        (line, text) for line, text in enumerate(asked, 1) if text in KNOWN
    ]
    assert "200 hashes checked" in ran.err


UNKNOWN = md5_of("unknown")
INVENTORIES = {
    "rclone hashsum": f"{UNKNOWN}  a\n{KNOWN[3]}   found \n{'UNSUPPORTED':>32}  c\n{'':32}  d\n",
    "rclone lsjson": json.dumps(
        [
            {"Path": "dir", "Name": "dir", "Size": -1, "IsDir": True},
            {"Path": " found ", "Name": " found ", "Size": 1, "IsDir": False, "Hashes": {"md5": KNOWN[3]}},
            {"Path": "a", "Name": "a", "Size": 1, "IsDir": False, "Hashes": {"md5": UNKNOWN}},
            {"Path": "c", "Name": "c", "Size": 1, "IsDir": False, "Hashes": {"crc32": "00000000"}},
            {"Path": "d", "Name": "d", "Size": 1, "IsDir": False},
        ]
    ),
    "list-objects-v2": "".join(
        json.dumps({"Contents": [{"Key": key, "ETag": f'"{etag}"', "Size": 1}], "RequestCharged": None}, indent=4)
        for key, etag in {
            "a": UNKNOWN,
            " found ": KNOWN[3],
            "c": f"{KNOWN[4]}-2",
            "d": "0x8D4BCC2E4835CD0",
        }.items()
    ),
}


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("inventory", INVENTORIES)
def test_an_inventory_is_checked_and_what_it_tells_no_hash_of_is_counted(
    server: Server, tmp_path: Path, inventory: str, options: tuple[str, ...]
) -> None:
    assert check(server, tmp_path, INVENTORIES[inventory], *options).code == 4, "nobody looked at some"
    ran = check(server, tmp_path, INVENTORIES[inventory], *options, "--accept", "not-checkable")
    assert ran.code == 1, ran.err
    found = ran.lines if options else list(csv.DictReader(io.StringIO(ran.out)))
    assert [(hit["name"], hit["hash"], str(hit["line"])) for hit in found] == [(" found ", KNOWN[3], "2")]
    assert "2 hashes checked" in ran.err
    assert "1 matched, 0 lines not checked, generation 1, 2 not checkable" in ran.err
    assert "the listing has no hash of the contents" in ran.err


def test_an_inventory_with_files_without_a_hash_is_not_all_clear_and_one_without_any_hash_bad_input(
    server: Server, tmp_path: Path
) -> None:
    listing = f"{UNKNOWN}  a\n{'ERROR':>32}  b\n"
    some = check(server, tmp_path, listing)
    assert some.code == 4
    assert check(server, tmp_path, listing, "--accept", "not-checkable").code == 0
    assert check(server, tmp_path, listing, "--accept", "unreadable").code == 2
    assert "1 not checkable" in some.err
    none = check(server, tmp_path, json.dumps([{"Key": "a", "ETag": f'"{UNKNOWN}-1"'}]))
    assert none.code == 2
    assert "0 hashes checked" in none.err
    assert "1 not checkable" in none.err


def test_the_summary_is_json_too_on_demand(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, f"{KNOWN[0]}  a\nhello\n{'':32}  b\n{UNKNOWN}  c\n", "--json")
    summary = json.loads(ran.err.splitlines()[-1])
    assert summary.pop("seconds") >= 0
    assert summary == {
        "checked": 2,
        "matched": 1,
        "not_checked": 1,
        "not_checkable": 1,
        "withdrawn": 0,
        "complete": False,
        "ignored_columns": [],
        "generations": [1],
    }


def test_rclones_base64_is_refused_in_one_sentence(server: Server, tmp_path: Path) -> None:
    ran = check(server, tmp_path, "nhB9nTcrtoJr2B01QqQZ1g==  a.jpg\n")
    assert (ran.code, ran.out) == (2, ",".join(COLUMNS) + "\n")
    assert ran.err.startswith("hashserver: standard input: its hashes are in base64; make the listing without")
    assert len(ran.err.splitlines()) == 1


@contextmanager
def busy_before(server: Server, refusals: int) -> Iterator[tuple[str, list[int]]]:
    """A proxy that says 503 a few times, then forwards; its URL, and the status of each answer."""
    answered: list[int] = []
    lock = threading.Lock()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                refuse = answered.count(503) < refusals
                answered.append(503 if refuse else 200)
            answer = b""
            if not refuse:
                headers = {"Content-Type": self.headers["Content-Type"]}
                answer = httpx.post(server.url + self.path, content=body, headers=headers).content
            self.send_response(503 if refuse else 200)
            if refuse:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", answered
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def test_a_server_that_is_busy_is_asked_again_and_nothing_is_left_out(server: Server, tmp_path: Path) -> None:
    listing = "\n".join(KNOWN).encode()
    with busy_before(server, 2) as (url, answered):
        ran = run("check", "-", "--server", url, "--batch", 5, "--json", cwd=tmp_path, stdin=listing)
    assert ran.code == 1, ran.err
    assert [hit["hash"] for hit in ran.lines] == KNOWN
    assert sorted(answered) == [200] * 4 + [503] * 2


def test_a_server_that_cannot_be_reached_is_code_3_and_a_sentence(unreachable: subprocess.Popen[bytes]) -> None:
    ran = finish(unreachable)
    assert ran.code == 3
    assert ran.err.startswith("hashserver: http://127.0.0.1:")
    assert "cannot be reached" in ran.err
    assert "tried 7 times" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_refusal_of_the_server_is_passed_on(server: Server, tmp_path: Path) -> None:
    ran = run("check", "-", "--server", f"{server.url}/elsewhere", cwd=tmp_path, stdin=KNOWN[0].encode())
    assert ran.code == 3
    assert "404" in ran.err
    assert "there is nothing at this address" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--server", "hashes.example.org"), 3, "start it with http://"),
        (("--server", "http://127.0.0.1:port"), 3, "is not the URL of a server"),
        (("--key", "pass\nword"), 3, "API key"),
        (("--format", "xls"), 2, "'xls'"),
        (("--type", "md4"), 2, "'md4'"),
        (("--output-format", "xml"), 2, "csv or jsonl"),
        (("--output", "no/such/folder.csv"), 2, "no/such/folder.csv"),
        (("--batch", "0"), 2, "--batch"),
    ],
)
def test_what_cannot_be_used_is_named_without_a_traceback(
    tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    ran = run("check", "-", *options, cwd=tmp_path, stdin=KNOWN[0].encode())
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_listing_that_is_not_there_is_code_2(server: Server, tmp_path: Path) -> None:
    ran = run("check", "missing.md5", "--server", server.url, cwd=tmp_path)
    assert ran.code == 2
    assert ran.err.startswith("hashserver: cannot read missing.md5")


def test_objects_without_an_md5_in_an_inventory_are_counted_and_no_errors(server: Server, tmp_path: Path) -> None:
    row = '"photos","{}","1","2024-05-01T09:00:00.000Z","{}","{}"\n'
    parts = row.format("long.mp4", f"{KNOWN[1]}-6", "NOT-SSE") + row.format("kms.jpg", KNOWN[1], "SSE-KMS")
    ran = check(server, tmp_path, parts + row.format("album/a+b.jpg", KNOWN[3], "NOT-SSE"), "--json")
    assert ran.code == 4
    assert [(found["name"], found["line"], found["id"]) for found in ran.lines] == [("album/a b.jpg", 3, "A-3")]
    assert "1 hashes checked" in ran.err
    assert "0 lines not checked" in ran.err
    assert "2 not checkable" in ran.err
    nothing = check(server, tmp_path, parts)
    assert nothing.code == 2
    assert "2 not checkable" in nothing.err
