"""What a party is told of its own use, and of that of others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from serving import eventually, load, md5_of, run, serving


def test_a_party_sees_its_own_figures_and_a_reporter_those_of_all(tmp_path: Path) -> None:
    data = tmp_path / "data"
    known = [md5_of(f"known {n}") for n in range(3)]
    load(data, "police", "md5,category,id\n" + "".join(f"{text},base,A-{n}\n" for n, text in enumerate(known)))

    def party(name: str, *options: str) -> dict[str, str]:
        ran = run("party", "add", name, "--data-dir", data, "--json", *options, cwd=tmp_path)
        return {"Authorization": f"Bearer {ran.json['key']}"}

    host, reporter = party("host", "--daily-quota", "1000"), party("reporter", "--permission", "report")
    asked = {"md5": [*known, md5_of("unknown"), "bad"], "sha1": ["0" * 40]}
    with serving(data, workers=2) as server, server.client() as client:
        for _ in range(4):
            assert len(client.post("/v2/check", json=asked, headers=host).json()["matches"]) == 3
        day = datetime.now(UTC).date().isoformat()
        md5 = {"day": day, "type": "md5", "requests": 4, "checked": 16, "hits": 12, "invalid": 4}
        sha1 = {"day": day, "type": "sha1", "requests": 4, "checked": 4, "hits": 0, "invalid": 0}
        eventually(lambda: client.get("/v2/usage", headers=host).json()["days"] == [md5, sha1], within=2)
        own = client.get("/v2/usage", headers=host).json()
        assert own["hits"] == [{"set": "police", "category": "base", "type": "md5", "hits": 12, "matches": 12}]
        assert (own["party"], own["daily_quota"], own["max_rate"], own["from"]) == (
            "host",
            1000,
            None,
            day[:8] + "01",
        )
        assert client.get("/v2/usage?party=Host", headers=reporter).json() == own
        assert client.get("/v2/usage", headers=reporter).json()["days"] == []
        old = client.get("/v2/usage?from=2020-01-01&to=2020-12-31", headers=host).json()
        assert (old["days"], old["hits"]) == ([], [])
        for query, headers, status in (
            ("", {}, 401),
            ("?party=reporter", host, 403),
            ("?party=nobody", reporter, 404),
            ("?from=2020-02-01&to=2020-01-01", host, 422),
            ("?from=1800-01-01&to=2020-01-01", host, 422),
            ("?from=yesterday", host, 422),
        ):
            assert client.get(f"/v2/usage{query}", headers=headers).status_code == status, query
