"""What Prometheus reads adds up, whichever worker answers it, and after a restart."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import Server, eventually, load, md5_of, run, serving

KNOWN = [md5_of(f"known {n}") for n in range(3)]
ASKED = {"md5": [*KNOWN, md5_of("unknown"), "bad"]}


def read(server: Server, headers: dict[str, str] | None = None) -> dict[tuple[str, ...], float]:
    """Samples by name and the values of their labels."""
    answer = httpx.get(f"{server.url}/metrics", headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain"), answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def ask(server: Server, times: int) -> None:
    for _ in range(times):  # a new connection each, so that all workers get some
        assert httpx.post(f"{server.url}/v2/check", json=ASKED).status_code == 200


CHECKS = ("hashserver_http_request_seconds_count", "POST", "/v2/check", "200")


@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_are_of_all_workers_and_hashes_of_all_time(tmp_path: Path, workers: int) -> None:
    data = tmp_path / "data"
    load(data, "police", "".join(f"{text}\n" for text in KNOWN))
    with serving(data, workers=workers) as server:
        ask(server, 30)
        httpx.get(f"{server.url}/lookup-nothing/{md5_of('secret')}")
        httpx.delete(f"{server.url}/v2/entries/police/no%2Fsuch")
        eventually(lambda: read(server).get(("hashserver_checked_hashes_total", "md5")) == 120, within=3)
        for _ in range(8):
            found = read(server)
            assert found[CHECKS] == 30
            assert found["hashserver_hits_total", "md5"] == 90
            assert found["hashserver_invalid_hashes_total", "md5"] == 30
            assert found["hashserver_party_checked_hashes_total", "this machine"] == 120
            assert found["hashserver_http_request_seconds_count", "GET", "other", "404"] == 1
            assert (
                found["hashserver_http_request_seconds_count", "DELETE", "/v2/entries/{set}/{id:path}", "404"] == 1
            )
            assert found["hashserver_generation",] == 1
            assert found["hashserver_set_entries", "match", "police"] == 3
            assert found["hashserver_ledger_trouble",] == 0
            assert found["hashserver_store_bytes",] > 0
            assert found["hashserver_ledger_bytes",] > 0
            assert found["hashserver_inbox_matches",] >= 0
        assert not any(md5_of("secret") in value for key in found for value in key)
    with serving(data, workers=workers) as server:
        ask(server, 2)
        eventually(lambda: read(server).get(("hashserver_checked_hashes_total", "md5")) == 128, within=3)
        assert read(server)[CHECKS] == 2
        assert list(Path("/dev/shm").glob(f"hashserver-metrics-{server.process.pid}-*"))


def test_metrics_are_for_those_who_may_see_the_figures_of_all(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", f"{KNOWN[0]}\n")

    def key(name: str, *options: str) -> dict[str, str]:
        ran = run("party", "add", name, "--data-dir", data, "--json", *options, cwd=tmp_path)
        return {"Authorization": f"Bearer {ran.json['key']}"}

    host, prometheus = key("host"), key("prometheus", "--permission", "report")
    with serving(data) as server, server.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=host).status_code == 403
        client.post("/v2/check", json=ASKED, headers=host)
        mine = ("hashserver_party_hits_total", "host")
        eventually(lambda: read(server, prometheus).get(mine) == 1, within=3)
