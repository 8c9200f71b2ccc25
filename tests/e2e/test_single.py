"""`/v1/check`, asked by PHP's curl as SCART and Shimmie2 ask, and by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from parties import NAME, add_party, basic, ledger_rows
from serving import Server, eventually, load, md5_of, serving

SCRIPT = Path(__file__).with_name("clients") / "check.php"
KNOWN, UNKNOWN = md5_of("known"), md5_of("unknown")
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
NEAR_PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b2f"
TEST_TEXT = b"hashserver test entry"


def php_with_curl() -> bool:
    if shutil.which("php") is None:
        return False
    return subprocess.run(["php", "-r", "exit(extension_loaded('curl') ? 0 : 1);"], check=False).returncode == 0


needs_php = pytest.mark.skipif(
    not php_with_curl(), reason="php with curl is not installed (Debian: php-cli php-curl)"
)


@dataclass(frozen=True)
class Served:
    server: Server
    data: Path
    key: str

    def ask(self, path: str, body: bytes | str, **headers: str) -> httpx.Response:
        with self.server.client() as client:
            return client.post(path, content=body, headers=basic(self.key) | headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("single") / "data"
    load(data, "police", f"md5,pdq,id\n{KNOWN},{PDQ},A-17\n", "--format", "csv")
    key = add_party(data)
    with serving(data) as server:
        yield Served(server, data, key)


def ask_with_php(served: Served, client: str, path: str, hash: str, key: str | None = None) -> dict[str, Any]:
    arguments = [client, f"{served.server.url}{path}", NAME, key or served.key, hash]
    ran = subprocess.run(["php", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(ran.stdout)
    assert isinstance(answer, dict)
    return answer


@needs_php
@pytest.mark.parametrize("client", ["scart", "shimmie"])
class TestPhp:
    @pytest.mark.parametrize(
        ("path", "hash", "answer"),
        [
            ("/v1/check/md5", KNOWN, "true"),
            ("/v1/check/md5", UNKNOWN, "false"),
            ("/v1/check/md5", KNOWN.upper(), "true"),
            ("/v1/check/sha1", "0" * 40, "false"),
            ("/v1/check/pdq", NEAR_PDQ, "true"),
            ("/v1/test/check/md5", hashlib.md5(TEST_TEXT).hexdigest(), "true"),
            ("/v1/test/check/sha1", hashlib.sha1(TEST_TEXT).hexdigest(), "true"),
            ("/v1/test/check/md5", KNOWN, "false"),
        ],
    )
    def test_the_answer_is_true_or_false_and_nothing_else(
        self, served: Served, client: str, path: str, hash: str, answer: str
    ) -> None:
        assert ask_with_php(served, client, path, hash) == {"body": answer, "status": 200, "error": ""}

    @pytest.mark.parametrize("hash", [KNOWN[:-1], "", "x" * 32])
    @pytest.mark.parametrize("path", ["/v1/check/md5", "/v1/test/check/md5"])
    def test_a_malformed_hash_is_no_false(self, served: Served, client: str, path: str, hash: str) -> None:
        answer = ask_with_php(served, client, path, hash)
        assert answer["status"] == 400
        assert answer["body"] not in ("true", "false")

    def test_a_wrong_key_is_no_false(self, served: Served, client: str) -> None:
        answer = ask_with_php(served, client, "/v1/check/md5", KNOWN, key="hs_wrong")
        assert answer["status"] == 401
        assert answer["body"] not in ("true", "false")


@pytest.mark.parametrize("body", [f" {KNOWN}\r\n", f"\t{KNOWN.upper()} ", f"%20{KNOWN}%0A"])
def test_white_space_and_case_make_no_difference(served: Served, body: str) -> None:
    assert served.ask("/v1/check/md5", body).text == "true"


def test_a_bearer_key_works_as_well(served: Served) -> None:
    with served.server.client() as client:
        headers = {"Authorization": f"Bearer {served.key}"}
        assert client.post("/v1/check/md5", content=KNOWN, headers=headers).text == "true"


def test_nobody_is_answered_without_a_key(served: Served) -> None:
    with served.server.client() as client:
        answer = client.post("/v1/check/md5", content=KNOWN)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert "Basic" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/v1/check/md6", "/v1/test/check/md6", "/v1/check/"])
def test_an_unknown_type_is_404(served: Served, path: str) -> None:
    assert served.ask(path, KNOWN).status_code == 404


def test_a_body_much_longer_than_a_hash_is_refused(served: Served) -> None:
    assert served.ask("/v1/check/md5", b"0" * 5000).status_code == 413


def test_a_hit_is_in_the_ledger_when_its_answer_is_here(served: Served) -> None:
    assert served.ask("/v1/check/md5", KNOWN, **{"X-Request-Id": "from-a-test"}).text == "true"
    query = "SELECT type, distance FROM matches WHERE request = 'from-a-test'"
    assert ledger_rows(served.data, query) == [("md5", 0)]


def test_checks_and_malformed_hashes_are_counted_and_tests_are_not(served: Served) -> None:
    query = "SELECT sum(requests), sum(checked), sum(invalid) FROM counts WHERE type = 'sha256'"
    assert served.ask("/v1/check/sha256", "ab" * 32).text == "false"
    assert served.ask("/v1/check/sha256", "zz" * 32).status_code == 400
    assert served.ask("/v1/test/check/sha256", hashlib.sha256(TEST_TEXT).hexdigest()).text == "true"
    eventually(lambda: ledger_rows(served.data, query) == [(2, 1, 1)])
    assert served.ask("/v1/test/check/sha256", "cd" * 32).text == "false"
    with pytest.raises(AssertionError):
        eventually(lambda: ledger_rows(served.data, query) != [(2, 1, 1)], within=1)


def test_a_party_without_permission_is_refused(served: Served) -> None:
    key = add_party(served.data, "Reporter", "--permission", "report")
    with served.server.client() as client:
        headers = basic(key, "Reporter")
        for path in ("/v1/check/md5", "/v1/test/check/md5"):
            eventually(lambda path=path: client.post(path, content=KNOWN, headers=headers).status_code == 403)


def test_a_rate_is_kept(served: Served) -> None:
    key = add_party(served.data, "Slow", "--max-rate", "1/s")
    with served.server.client() as client:
        headers = basic(key, "Slow")
        eventually(lambda: client.post("/v1/check/md5", content=KNOWN, headers=headers).status_code == 429)


def test_no_hash_and_no_key_is_logged(served: Served) -> None:
    served.ask("/v1/check/md5", KNOWN[:-1])
    assert KNOWN[:-1] not in served.server.log
    assert served.key not in served.server.log
