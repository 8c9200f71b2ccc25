"""HMA's matching API, asked with requests as HMA's own documentation asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from parties import NAME, add_party, ledger_rows
from serving import Server, load, md5_of, serving

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
NEAR = PDQ[:-1] + "d"  # 2 and d differ in four bits
FAR = f"{int(PDQ, 16) ^ (1 << 128) - 1:064x}"
MD5 = md5_of("video")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("hma") / "data"
    load(data, "SAMPLE_BANK", f"pdq,id\n{PDQ},P-1\n", "--format", "csv")
    load(data, "SAMPLE_BANK", f"md5,id\n{MD5},V-1\n", "--format", "csv", "--append")
    load(data, "ngo", f"pdq\n{NEAR}\n", "--format", "csv")
    return data


@pytest.fixture(scope="module")
def key(data: Path) -> str:
    return add_party(data)


@pytest.fixture(scope="module")
def server(data: Path, key: str) -> Iterator[Server]:
    with serving(data) as running:
        yield running


@pytest.fixture(scope="module")
def session(key: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = (NAME, key)
        yield session


def ask(session: requests.Session, server: Server, path: str, **parameters: Any) -> Any:
    answer = session.get(f"{server.url}{path}", params=parameters, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_raw_lookup_names_contents_with_distances(session: requests.Session, server: Server) -> None:
    found = ask(session, server, "/m/raw_lookup", signal=NEAR, signal_type="pdq", include_distance=True)["matches"]
    assert [match["distance"] for match in found] == ["0", "4"]
    assert all(isinstance(match["bank_content_id"], int) for match in found)
    assert len({match["bank_content_id"] for match in found}) == 2


def test_raw_lookup_without_distances_is_a_list_of_numbers(session: requests.Session, server: Server) -> None:
    long = ask(session, server, "/m/raw_lookup", signal=NEAR, signal_type="pdq", include_distance="1")["matches"]
    short = ask(session, server, "/m/raw_lookup", signal=NEAR, signal_type="pdq")["matches"]
    assert short == [match["bank_content_id"] for match in long]


def test_lookup_sorts_by_bank(session: requests.Session, server: Server) -> None:
    found = ask(session, server, "/m/lookup", signal=PDQ, signal_type="pdq")
    assert {bank: [match["distance"] for match in matches] for bank, matches in found.items()} == {
        "SAMPLE_BANK": ["0"],
        "ngo": ["4"],
    }


def test_nothing_near_is_an_empty_answer(session: requests.Session, server: Server) -> None:
    assert ask(session, server, "/m/lookup", signal=FAR, signal_type="pdq") == {}
    assert ask(session, server, "/m/raw_lookup", signal=FAR, signal_type="pdq") == {"matches": []}


@pytest.mark.parametrize("signal_type", ["video_md5", "md5"])
def test_video_md5_is_md5(session: requests.Session, server: Server, signal_type: str) -> None:
    found = ask(session, server, "/m/lookup", signal=MD5.upper(), signal_type=signal_type)
    assert [match["distance"] for match in found["SAMPLE_BANK"]] == ["0"]


def test_a_content_keeps_its_number_which_is_the_ledgers(
    data: Path, session: requests.Session, server: Server
) -> None:
    first = ask(session, server, "/m/lookup", signal=PDQ, signal_type="pdq")["SAMPLE_BANK"][0]["bank_content_id"]
    load(data, "another", f"pdq\n{FAR}\n", "--format", "csv")
    again = ask(session, server, "/m/lookup", signal=NEAR, signal_type="pdq")["SAMPLE_BANK"][0]
    assert again == {"bank_content_id": first, "distance": "4"}
    query = f"SELECT set_name, external_id FROM entries WHERE id = {first}"
    assert ledger_rows(data, query) == [("SAMPLE_BANK", "P-1")]


def test_the_status_of_the_indexes(session: requests.Session, server: Server) -> None:
    status = ask(session, server, "/m/index/status")
    assert status["video_md5"]["size"] == 1
    assert status["pdq"]["present"]
    assert status["pdq"]["built_to"] > 1_700_000_000
    assert status["sha256"] == {"present": False, "built_to": -1, "size": 0}
    assert list(ask(session, server, "/m/index/status", signal_type="pdq")) == ["pdq"]


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("/m/lookup", {"signal_type": "pdq"}, "signal is required"),
        ("/m/raw_lookup", {"signal": PDQ}, "signal_type is required"),
        ("/m/lookup", {"signal": PDQ, "signal_type": "tlsh"}, "No such SignalType 'tlsh'"),
        ("/m/lookup", {"signal": PDQ[:-1], "signal_type": "pdq"}, "invalid signal: expected 64"),
        (
            "/m/raw_lookup",
            {"signal": PDQ, "signal_type": "pdq", "include_distance": "perhaps"},
            "include_distance must be true or false",
        ),
        ("/m/index/status", {"signal_type": "tlsh"}, "No such SignalType 'tlsh'"),
    ],
)
def test_errors_are_messages(
    session: requests.Session, server: Server, path: str, parameters: dict[str, str], message: str
) -> None:
    answer = session.get(f"{server.url}{path}", params=parameters, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize("path", ["/m/lookup", "/m/raw_lookup", "/m/index/status"])
def test_nobody_is_answered_without_a_key(server: Server, path: str) -> None:
    answer = requests.get(f"{server.url}{path}", params={"signal": PDQ, "signal_type": "pdq"}, timeout=30)
    assert (answer.status_code, list(answer.json())) == (401, ["message"])
