"""Refusals of what the page's script asks for."""

from __future__ import annotations

from pathlib import Path

import httpx
from parties import add_party
from serving import eventually, serving

from hashserver.ledger import Ledger
from hashserver.ledger.database import FILE


def test_live_figures_are_refused_with_problem_details(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = add_party(data, "Host")
    with serving(data) as server, server.client() as client:
        refused = [client.get("/dashboard/live")]
        assert client.post("/dashboard/sign-in", data={"key": key}).headers["location"] == "/dashboard"
        assert client.get("/dashboard/live").json()["checked"] == 0
        refused.append(client.get("/dashboard/live?party=2"))
        with Ledger(data, create=True) as ledger:
            ledger.execute("ALTER TABLE counts RENAME TO lost", ())
        refused.append(client.get("/dashboard?party=1"))

        def refusal() -> httpx.Response | None:
            answer = client.get("/dashboard/live?party=1")
            return None if answer.is_success else answer

        live = eventually(refusal)  # figures are kept for a second
        refused.append(live)
    forms = [answer.headers["content-type"].partition(";")[0] for answer in refused]
    json = "application/problem+json"
    assert [answer.status_code for answer in refused] == [401, 403, 503, 503]
    assert forms == [json, json, "text/html", json], "pages are refused with pages"
    for answer in (refused[0], refused[1], refused[3]):
        problem = answer.json()
        assert problem["type"].startswith("/problems/")
        assert problem["status"] == answer.status_code
        assert problem["title"]
        assert problem["detail"]
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "www-authenticate" not in refused[0].headers
    assert (live.json()["type"], live.headers["retry-after"]) == ("/problems/ledger-unavailable", "10")
    assert FILE in live.json()["detail"]
