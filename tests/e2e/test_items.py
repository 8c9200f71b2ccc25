"""One external id ties the hashes of an item together, in every format that names one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parties import ledger_rows
from serving import Server, load, run, serving

MD5, SHA1 = "0123456789abcdef0123456789abcdef", "89abcdef0123456789abcdef0123456789abcdef"
PDQ = "f8f8f0f0e0cce1f1c3c3870e0f1e3c78f8f8f0f0e0cce1f1c3c3870e0f1e3c78"
HASHES = {"md5": MD5, "sha1": SHA1, "pdq": PDQ}
ID = "1017"


def vics(hashes: dict[str, str]) -> str:
    media: dict[str, Any] = {"MediaID": int(ID), "Category": 1}
    media |= {name.upper(): text.upper() for name, text in hashes.items() if name != "pdq"}
    if "pdq" in hashes:
        media["AlternativeHashes"] = [{"HashName": "PDQ", "HashValue": hashes["pdq"]}]
    context = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml/US/#Media"
    return json.dumps({"odata.metadata": context, "value": [media]})


def ncmec(hashes: dict[str, str]) -> str:
    prints = "".join(f"<{name}>{text}</{name}>" for name, text in hashes.items())
    return (
        '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images><image>'
        f"<id>{ID}</id><classification>1</classification><fingerprints>{prints}</fingerprints>"
        "</image></images></queryResult>"
    )


def as_csv(hashes: dict[str, str]) -> str:
    return ",".join([*hashes, "category", "id"]) + "\n" + ",".join([*hashes.values(), "1", ID]) + "\n"


def parquet(hashes: dict[str, str]) -> bytes:
    columns = {name: [text] for name, text in hashes.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, "category": ["1"], "id": [ID]}), sink)
    return bytes(sink.getvalue().to_pybytes())


def rows_that_share_an_id(hashes: dict[str, str]) -> str:
    return "".join(json.dumps({name: text, "category": "1", "id": ID}) + "\n" for name, text in hashes.items())


def tat(hashes: dict[str, str]) -> str:
    common = {"deleted": False, "id": ID, "ideology": "1"}
    return json.dumps(
        [{"hash_digest": text, "algorithm": name.upper(), **common} for name, text in hashes.items()]
    )


ONE_ROW = {"vics": vics, "ncmec": ncmec, "csv": as_csv, "parquet": parquet}
SEVERAL_ROWS = {"jsonl": rows_that_share_an_id, "tat": tat}
FORMATS = {**ONE_ROW, **SEVERAL_ROWS}


@pytest.fixture(scope="module", params=FORMATS)
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(format_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp(format_name) / "data"
    summary = load(data, "police", FORMATS[format_name](HASHES))
    assert summary["rejected"] == 0
    assert summary["entries"] == (1 if format_name in ONE_ROW else len(HASHES))
    with serving(data) as server:
        yield server


def check(server: Server, hashes: dict[str, str]) -> list[dict[str, Any]]:
    with server.client() as client:
        answer = client.post("/v2/check", json={name: [text] for name, text in hashes.items()})
    assert answer.status_code == httpx.codes.OK, answer.text
    matches = answer.json()["matches"]
    assert isinstance(matches, list)
    return matches


def test_every_hash_of_an_item_names_it_once(served: Server) -> None:
    entry = {"set": "police", "category": "1", "id": ID}
    together = check(served, HASHES)
    assert sorted(match["type"] for match in together) == sorted(HASHES)
    assert [match["entries"] for match in together] == [[entry]] * len(HASHES)
    for name, text in HASHES.items():
        (match,) = check(served, {name: text})
        assert (match["type"], match["hash"], match["entries"]) == (name, text, [entry])


def test_the_ledger_has_one_entry_for_it(served: Server) -> None:
    check(served, HASHES)
    for name, text in HASHES.items():
        check(served, {name: text})
    data = Path(served_folder(served))
    assert ledger_rows(data, "SELECT set_name, external_id, category FROM entries") == [("police", ID, "1")]
    kinds = {kind for (kind,) in ledger_rows(data, "SELECT DISTINCT type FROM matches")}
    assert kinds == set(HASHES)
    assert ledger_rows(data, "SELECT count(DISTINCT entry) FROM matches") == [(1,)]


def served_folder(server: Server) -> str:
    arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode().split("\0")
    return arguments[arguments.index("--data-dir") + 1]


def test_withdrawing_the_id_takes_all_its_hashes(served: Server) -> None:
    data = Path(served_folder(served))
    ran = run("sets", "withdraw", "police", ID, "--data-dir", data, cwd=data.parent)
    assert ran.code == 0, ran.err
    with served.client() as client:
        for _ in range(200):
            answer = client.post("/v2/check", json={name: [text] for name, text in HASHES.items()}).json()
            if answer["generation"] == 2:
                break
    assert answer["matches"] == []
