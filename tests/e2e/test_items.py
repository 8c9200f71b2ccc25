"""One external id ties the hashes of an item together, in every format that names one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parties import ledger_rows
from serving import Server, eventually, load, run, serving

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


@dataclass(frozen=True, slots=True)
class Served:
    """A server, its data folder, and the hashes of the item in each set, named as its format."""

    server: Server
    data: Path
    hashes: dict[str, dict[str, str]]

    def check(self, hashes: dict[str, str]) -> dict[str, Any]:
        """The answer to one hash of each type."""
        with self.server.client() as client:
            answer = client.post("/v2/check", json={name: [text] for name, text in hashes.items()})
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("items") / "data"
    hashes = {}
    for number, (name, write) in enumerate(FORMATS.items()):
        # Rotated by some bytes: no item's PDQ is near another's.
        hashes[name] = {kind: text[2 * number :] + text[: 2 * number] for kind, text in HASHES.items()}
        summary = load(data, name, write(hashes[name]))
        assert summary["rejected"] == 0
        assert summary["entries"] == (1 if name in ONE_ROW else len(HASHES))
    with serving(data) as server:
        yield Served(server, data, hashes)


@pytest.mark.parametrize("name", FORMATS)
def test_every_hash_of_an_item_names_it_once(served: Served, name: str) -> None:
    entry, hashes = {"set": name, "category": "1", "id": ID}, served.hashes[name]
    together = served.check(hashes)["matches"]
    assert sorted(match["type"] for match in together) == sorted(hashes)
    assert [match["entries"] for match in together] == [[entry]] * len(hashes)
    for kind, text in hashes.items():
        (match,) = served.check({kind: text})["matches"]
        assert (match["type"], match["hash"], match["entries"]) == (kind, text, [entry])


@pytest.mark.parametrize("name", FORMATS)
def test_the_ledger_has_one_entry_for_it(served: Served, name: str) -> None:
    served.check(served.hashes[name])
    for kind, text in served.hashes[name].items():
        served.check({kind: text})
    query = f"SELECT id, external_id, category FROM entries WHERE set_name = '{name}'"
    ((number, *named),) = ledger_rows(served.data, query)
    assert named == [ID, "1"]
    kinds = ledger_rows(served.data, f"SELECT DISTINCT type FROM matches WHERE entry = {number}")
    assert {kind for (kind,) in kinds} == set(HASHES)


@pytest.mark.parametrize("name", FORMATS)
def test_withdrawing_the_id_takes_all_its_hashes(served: Served, name: str) -> None:
    assert served.check(served.hashes[name])["matches"] != []
    ran = run("sets", "withdraw", name, ID, "--data-dir", served.data, "--json", cwd=served.data.parent)
    assert ran.code == 0, ran.err
    generation = ran.json["generation"]
    eventually(lambda: served.check(served.hashes[name])["generation"] == generation)
    assert served.check(served.hashes[name])["matches"] == []
