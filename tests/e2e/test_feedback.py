"""What a party says of a match is kept, and nonsense is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from serving import load, md5_of, run, serving


def test_a_verdict_on_an_entry_is_kept_and_nonsense_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load(data, "police", f"md5,id\n{md5_of('a')},A-1\n")
    load(data, "other", f"md5,id\n{md5_of('b')},B-1\n")

    def key(name: str, *options: str) -> dict[str, str]:
        ran = run("party", "add", name, "--data-dir", data, "--json", *options, cwd=tmp_path)
        return {"Authorization": f"Bearer {ran.json['key']}"}

    host, checker = key("host", "--sets", "police"), key("checker", "--permission", "check")
    good = {"set": "police", "id": "A-1", "verdict": "false-positive", "note": "our theme"}
    with serving(data) as server, server.client() as client:
        assert client.post("/v2/feedback", json=good, headers=host).json() == {"number": 1}
        bare = {name: value for name, value in good.items() if name != "note"} | {"verdict": "confirmed"}
        second = client.post("/v2/feedback", json=bare, headers=host)
        assert (second.status_code, second.json()) == (201, {"number": 2})
        for body, headers, status, pointer in (
            (good, {}, 401, None),
            (good, checker, 403, None),
            ({**good, "id": "A-2"}, host, 404, None),
            ({**good, "set": "none"}, host, 404, None),
            ({**good, "set": "other", "id": "B-1"}, host, 404, None),
            ({**good, "verdict": "perhaps"}, host, 422, "/verdict"),
            ({**good, "verdict": []}, host, 422, "/verdict"),
            ({**good, "note": "n" * 2001}, host, 422, "/note"),
            ({**good, "note": None}, host, 422, "/note"),
            ({**good, "id": ""}, host, 422, "/id"),
            ({**good, "more": 1}, host, 422, ""),
            ([], host, 422, ""),
        ):
            answer = client.post("/v2/feedback", json=body, headers=headers)
            assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), answer.text
        assert client.post("/v2/feedback", content=b"x", headers=host).status_code == 415
        long = {**good, "note": "n" * 70_000}
        assert client.post("/v2/feedback", json=long, headers=host).status_code == 413
    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT set_name, external_id, verdict, note FROM feedback ORDER BY id").fetchall()
    assert rows == [("police", "A-1", "false-positive", "our theme"), ("police", "A-1", "confirmed", "")]
