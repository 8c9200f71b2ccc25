"""The server as users meet it: every body, every refusal, several workers, changes under load."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from serving import Server, eventually, load, md5_of, port_of, run, serving

ARROW = "application/vnd.apache.arrow.stream"
PROBLEM = "application/problem+json"
KNOWN = [md5_of(f"known {number}") for number in range(50)]
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
ASKED = [KNOWN[3], md5_of("unknown"), KNOWN[7].upper()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("server") / "data"
    listing = "md5,category,id\n" + "".join(f"{text},baseline,A-{n}\n" for n, text in enumerate(KNOWN))
    load(data, "police", listing)
    load(data, "pictures", f"pdq,id\n{PDQ},P-1\n", "--max-distance", "pdq=20")
    limits = {"HASHSERVER_MAX_BODY_BYTES": "200000", "HASHSERVER_MAX_HASHES": "5000"}
    with serving(data, env={**limits, "HASHSERVER_MAX_UNPACKED_BYTES": "300000"}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def post(client: httpx.Client, body: bytes, content_type: str, query: str = "", **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v2/check{query}", content=body, headers={"Content-Type": content_type, **headers})


def as_arrow(texts: list[str]) -> bytes:
    array = pa.array([bytes.fromhex(text) for text in texts], pa.binary(16))
    sink = io.BytesIO()
    batch = pa.record_batch([array], names=["md5"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


BODIES = {
    "json": (json.dumps({"md5": ASKED}).encode(), "application/json", ""),
    "packed": (bytes.fromhex("".join(ASKED)), "application/octet-stream", "?type=md5"),
    "text": ("\n".join(ASKED).encode(), "text/plain; charset=utf-8", "?type=md5"),
    "arrow": (as_arrow(ASKED), ARROW, ""),
}


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
@pytest.mark.parametrize("kind", BODIES)
def test_all_bodies_are_answered_alike(client: httpx.Client, kind: str, encoding: str | None) -> None:
    body, content_type, query = BODIES[kind]
    headers = {}
    if encoding:
        body = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
        headers["Content_Encoding"] = encoding
    response = post(client, body, content_type, query, **headers)
    assert response.status_code == 200
    sets = client.get("/v2/sets").json()
    assert (len(sets["store"]), len(sets["state"])) == (32, 16)
    assert response.json() == {
        "generation": 2,
        "store": sets["store"],
        "state": sets["state"],
        "checked": {"md5": 3},
        "matches": [
            {
                "type": "md5",
                "index": index,
                "hash": KNOWN[number],
                "distance": 0,
                "entries": [{"set": "police", "category": "baseline", "id": f"A-{number}"}],
            }
            for index, number in ((0, 3), (2, 7))
        ],
        "invalid": [],
    }


def test_an_arrow_answer_says_the_same(client: httpx.Client) -> None:
    response = post(client, *BODIES["arrow"], Accept=ARROW)
    table = pa.ipc.open_stream(response.content).read_all()
    assert table.column("index").to_pylist() == [0, 2]
    assert table.column("set").to_pylist() == ["police", "police"]
    assert table.column("id").to_pylist() == ["A-3", "A-7"]
    assert table.schema.metadata[b"generation"] == b"2"
    sets = client.get("/v2/sets").json()
    assert table.schema.metadata[b"store"].decode() == sets["store"]
    assert table.schema.metadata[b"state"].decode() == sets["state"]


def test_a_mixed_batch_names_near_and_exact_matches(client: httpx.Client) -> None:
    near = bytearray.fromhex(PDQ)
    near[0] ^= 0xFF
    body = {"md5": [KNOWN[0]], "pdq": [PDQ, bytes(near).hex(), "00" * 32, "not a hash"]}
    answer = post(client, json.dumps(body).encode(), "application/json").json()
    found = [(match["type"], match["index"], match["distance"]) for match in answer["matches"]]
    assert found == [("md5", 0, 0), ("pdq", 0, 0), ("pdq", 1, 8)]
    assert answer["invalid"] == [{"type": "pdq", "index": 3, "reason": "expected 64 hexadecimal digits, got 10"}]


def test_the_distance_is_the_sets_own_unless_the_request_names_one(client: httpx.Client) -> None:
    far = bytearray.fromhex(PDQ)
    for at in range(3):
        far[at] ^= 0xFF  # 24 bits; the set matches up to 20

    def distances(query: str) -> list[int]:
        answer = post(client, bytes(far), "application/octet-stream", f"?type=pdq{query}")
        return [match["distance"] for match in answer.json()["matches"]]

    assert distances("") == []
    assert distances("&max_distance=24") == [24]
    assert distances("&max_distance=23") == []
    body = json.dumps({"pdq": [bytes(far).hex()], "max_distance": {"pdq": 31}}).encode()
    assert len(post(client, body, "application/json").json()["matches"]) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "query", "status", "words"),
    [
        (b'{"md5": ["', "application/json", "", 400, "not JSON"),
        (b"[1]", "application/json", "", 422, "object of arrays"),
        (b'{"md4": []}', "application/json", "", 422, "known types: md5, sha1"),
        (b'{"md5": "x"}', "application/json", "", 422, "array of hashes"),
        (b'{"md5": [], "max_distance": {"pdq": 65}}', "application/json", "", 422, "from 0 to 64"),
        (b'{"md5": [], "max_distance": {"md5": 1}}', "application/json", "", 422, "exactly or not at all"),
        (b"x" * 17, "application/octet-stream", "?type=md5", 400, "leaves 1 over"),
        (b"x" * 16, "application/octet-stream", "", 422, "?type="),
        (b"x" * 32, "application/octet-stream", "?type=pdq&max_distance=-1", 422, "max_distance"),
        (b"x" * 32, "application/octet-stream", "?type=pdq&max_distance=99", 422, "from 0 to 64"),
        (b"not arrow", ARROW, "", 400, "Arrow"),
        (b"{}", "application/xml", "", 415, "use one of application/json"),
        (b"{}", "", "", 415, "Content-Type"),
        (b"x" * 200_001, "application/octet-stream", "?type=md5", 413, "200,000 bytes"),
        (b"x" * 16 * 5001, "application/octet-stream", "?type=md5", 413, "more than 5,000"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(
    client: httpx.Client, body: bytes, content_type: str, query: str, status: int, words: str
) -> None:
    response = post(client, body, content_type, query)
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert words in problem["detail"]
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"x" * 16, mtime=0)[:-4], "gzip", 400),
        (b"no gzip", "gzip", 400),
        (b"no zstd", "zstd", 400),
        (gzip.compress(bytes(50_000_000), mtime=0), "gzip", 413),
        (zstandard.compress(bytes(50_000_000)), "zstd", 413),
        (b"x" * 16, "br", 415),
    ],
)
def test_packed_bodies_are_bounded_and_checked(
    client: httpx.Client, body: bytes, encoding: str, status: int
) -> None:
    response = post(client, body, "application/octet-stream", "?type=md5", Content_Encoding=encoding)
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM


def test_unknown_addresses_and_methods_are_problems_too(client: httpx.Client) -> None:
    for response, status in ((client.get("/nothing"), 404), (client.get("/v2/check"), 405)):
        assert response.status_code == status
        assert response.headers["content-type"] == PROBLEM


def test_sets_health_and_documentation(client: httpx.Client) -> None:
    sets = client.get("/v2/sets").json()
    assert [entry["name"] for entry in sets["sets"]] == ["pictures", "police"]
    assert sets["sets"][0]["max_distance"] == {"pdq": 20}
    assert sets["sets"][1]["hashes"] == {"md5": 50}
    assert client.get("/readyz").json() == {"ready": True, "generation": 2}
    described = client.get("/openapi.json").json()
    content = described["paths"]["/v2/check"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/octet-stream", "text/plain", ARROW}
    assert "example" in content["application/json"]


def test_a_chunked_body_is_cut_off_at_the_limit(server: Server) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 1000

    with server.client() as client:
        response = client.post("/v2/check?type=md5", content=pieces(), headers={"Content-Type": "text/plain"})
    assert response.status_code == 413


def test_clients_that_go_away_or_send_garbage_do_no_harm(server: Server) -> None:
    head = b"POST /v2/check?type=md5 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
    head += b"Content-Length: 1000\r\n\r\n"
    for sent in (head + b"half", b"\x00\xff garbage\r\n\r\n", head[:20], b""):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(sent)
    with server.client() as client:
        assert post(client, *BODIES["json"]).status_code == 200
    assert "Traceback" not in server.log


def test_no_hash_gets_into_the_log(server: Server, client: httpx.Client) -> None:
    post(client, *BODIES["json"])
    post(client, b'{"md5": ["%s", 3]' % KNOWN[0].encode(), "application/json")
    assert "ready: generation 2" in server.log
    assert KNOWN[0] not in server.log.lower()
    assert ASKED[1] not in server.log.lower()


def test_a_new_set_reaches_every_worker_while_checks_run(tmp_path: Path) -> None:
    """No request fails, and each answer is that of the one generation that it names."""
    data = tmp_path / "data"
    texts = {turn: [md5_of(f"{turn}/{number}") for number in range(300)] for turn in range(5)}
    everything = [text for turn in texts.values() for text in turn]
    body = bytes.fromhex("".join(everything))
    holds = {load(data, "known", "\n".join(texts[0]))["generation"]: {0}}
    problems: list[str] = []
    seen: set[int] = set()
    stop = threading.Event()
    with serving(data, workers=2) as server:

        def ask() -> None:
            with server.client() as client:
                while not stop.is_set():
                    response = post(client, body, "application/octet-stream", "?type=md5")
                    if response.status_code != 200:
                        problems.append(response.text)
                        continue
                    answer = response.json()
                    turns = {match["index"] // 300 for match in answer["matches"]}
                    seen.add(answer["generation"])
                    # A generation is published before the load that made it returns.
                    expected = eventually(partial(holds.get, answer["generation"]))
                    if turns != expected or len(answer["matches"]) != 300 * len(turns):
                        problems.append(f"generation {answer['generation']} answered {turns}, not {expected}")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(1, 5):
            summary = load(data, "known", "\n".join(texts[turn]))
            holds[summary["generation"]] = {turn}
            for _ in range(12):  # a new connection each time, so that both workers are asked
                with server.client() as client:
                    eventually(partial(_generation, client, summary["generation"]), 1.0)
        undone = run("sets", "rollback", "--to", min(holds), "--data-dir", data, "--json", cwd=tmp_path).json
        holds[undone["generation"]] = {0}
        eventually(lambda: undone["generation"] in seen)
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert len(seen) >= 4


def _generation(client: httpx.Client, at_least: int) -> int:
    generation = int(client.get("/readyz").json()["generation"])
    return generation if generation >= at_least else 0


def test_a_killed_worker_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "known", "\n".join(KNOWN))
    with serving(data, workers=2) as server:
        with server.client() as client:
            client.get("/healthz")
            victim = server.worker_of(port_of(client))
        assert victim != server.process.pid
        os.kill(victim, signal.SIGKILL)

        def answers() -> bool:
            try:
                with server.client() as client:
                    return post(client, *BODIES["json"]).status_code == 200
            except httpx.TransportError:
                return False

        for _ in range(20):
            eventually(answers)
        assert load(data, "known", "\n".join(KNOWN[:5]))["generation"] == 2


def test_a_service_manager_can_stop_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as server:
        assert server.stop() == 0


def test_it_will_not_listen_to_the_world_without_parties(tmp_path: Path) -> None:
    ran = run("serve", "--new", "--host", "0.0.0.0", "--data-dir", tmp_path / "data", cwd=tmp_path)
    assert ran.code == 2
    assert "no parties are configured" in " ".join(ran.err.split()).replace("│ ", "")


def test_random_batches_equal_a_python_set(client: httpx.Client) -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        asked = [
            KNOWN[number % 50] if number < 80 else md5_of(str(number))
            for number in random.integers(0, 400, 200).tolist()
        ]
        answer = post(client, json.dumps({"md5": asked}).encode(), "application/json").json()
        found = [match["index"] for match in answer["matches"]]
        assert found == [index for index, text in enumerate(asked) if text in KNOWN]


def test_a_connection_outlives_a_refusal(client: httpx.Client) -> None:
    client.get("/healthz")
    port = port_of(client)
    for body, content_type, status in ((b'{"md5"', "application/json", 400), (b"{}", "text/css", 415)):
        assert post(client, body, content_type).status_code == status
    assert post(client, *BODIES["json"]).status_code == 200
    assert port_of(client) == port


def _head(length: int) -> bytes:
    return (
        b"POST /v2/check?type=md5 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(_head(200_001))
        answer = connection.makefile("rb").read()  # to its end: the server closes
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["limit"] == 200_000


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_under_way_is_answered_before_the_server_ends(tmp_path: Path, workers: int) -> None:
    data = tmp_path / "data"
    load(data, "known", "\n".join(KNOWN))
    body = BODIES["packed"][0]
    with serving(data, workers=workers) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(_head(len(body)) + body[:20])
            # The connection is a worker's, and not one that waits to be accepted.
            server.worker_of(connection.getsockname()[1])
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: "Shutting down" in server.log)
            connection.sendall(body[20:])
            answer = connection.makefile("rb").read()
        assert server.process.wait(60) == 0
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [match["index"] for match in json.loads(answer.partition(b"\r\n\r\n")[2])["matches"]] == [0, 2]


def test_each_worker_serves_a_change_within_a_second_of_the_command_that_made_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "known", KNOWN[0])
    with serving(data, workers=2) as server:

        def all_match(*expected: int) -> bool:
            def matched(client: httpx.Client) -> list[int]:
                answer = post(client, bytes.fromhex(KNOWN[0] + KNOWN[1]), "application/octet-stream", "?type=md5")
                return [match["index"] for match in answer.json()["matches"]]

            return all(found == [*expected] for found in server.each_worker(matched))

        eventually(lambda: all_match(0))
        load(data, "known", KNOWN[1])
        eventually(lambda: all_match(1), 1.0)
        for command, expected in ((("rollback", "--to", "1"), [0]), (("remove", "known"), [])):
            assert run("sets", *command, "--data-dir", data, cwd=tmp_path).code == 0
            eventually(partial(all_match, *expected), 1.0)
