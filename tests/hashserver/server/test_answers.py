from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver.server.answers import Answer, EntryView, NamedMatch, to_arrow, to_json
from hashserver.server.bodies.request import InvalidHash

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.builds(EntryView, WORDS, st.none() | WORDS, st.none() | WORDS)
MATCHES = st.builds(
    NamedMatch,
    st.sampled_from(["md5", "pdq"]),
    st.integers(0, 10**6),
    st.binary(min_size=8, max_size=32),
    st.integers(0, 64),
    st.lists(ENTRIES, min_size=1, max_size=3),
    st.booleans(),
)
ANSWERS = st.builds(
    Answer,
    st.integers(0, 2**53),
    st.dictionaries(st.sampled_from(["md5", "pdq"]), st.integers(0, 10**6)),
    st.lists(MATCHES, max_size=4),
    st.lists(st.builds(InvalidHash, WORDS, st.integers(0, 10**6), WORDS), max_size=3),
    st.sampled_from(["", "00ff"]),
    st.sampled_from(["", "9b1d7f30c2a84e56"]),
)
EXAMPLE = Answer(
    42,
    {"md5": 10_000, "pdq": 12},
    [
        NamedMatch("md5", 17, b"\x9e\x10", 0, [EntryView("police", "baseline", "A-17")]),
        NamedMatch("pdq", 3, b"\xf8\xf8", 5, [EntryView("police", None, None), EntryView("ngo", "a", "")], True),
    ],
    [InvalidHash("pdq", 3, "expected 64 hexadecimal digits, got 63")],
    "a1",
    "b2",
)


def as_values(answer: Answer) -> dict[str, Any]:
    """The answer as the documentation of the API shows it."""
    matches = [
        {
            "type": match.type,
            "index": match.index,
            "hash": match.digest.hex(),
            "distance": match.distance,
            "entries": [{"set": one.set, "category": one.category, "id": one.id} for one in match.entries],
            **({"truncated": True} if match.truncated else {}),
        }
        for match in answer.matches
    ]
    invalid = [{"type": one.type, "index": one.index, "reason": one.reason} for one in answer.invalid]
    return {
        "generation": answer.generation,
        "store": answer.store,
        "state": answer.state,
        "checked": answer.checked,
        "matches": matches,
        "invalid": invalid,
    }


def test_the_json_answer_is_the_documented_one() -> None:
    assert to_json(EXAMPLE) == (
        b'{"generation":42,"store":"a1","state":"b2","checked":{"md5":10000,"pdq":12},"matches":['
        b'{"type":"md5","index":17,"hash":"9e10","distance":0,'
        b'"entries":[{"set":"police","category":"baseline","id":"A-17"}]},'
        b'{"type":"pdq","index":3,"hash":"f8f8","distance":5,'
        b'"entries":[{"set":"police","category":null,"id":null},{"set":"ngo","category":"a","id":""}],'
        b'"truncated":true}],'
        b'"invalid":[{"type":"pdq","index":3,"reason":"expected 64 hexadecimal digits, got 63"}]}'
    )


@settings(max_examples=100, deadline=None)
@given(answer=ANSWERS)
def test_any_answer_is_sound_json_with_all_that_it_holds(answer: Answer) -> None:
    assert json.loads(to_json(answer)) == as_values(answer)


@pytest.mark.parametrize("matches", [0, 1, 9_999, 10_000, 10_001, 20_000, 20_001])
def test_long_answers_hold_every_match_once_and_in_order(matches: int) -> None:
    entry = [EntryView("police", None, None)]
    answer = Answer(1, {}, [NamedMatch("md5", index, b"\x00", 0, entry) for index in range(matches)], [])
    assert [match["index"] for match in json.loads(to_json(answer))["matches"]] == list(range(matches))


@settings(max_examples=60, deadline=None)
@given(answer=ANSWERS)
def test_an_arrow_answer_has_a_row_for_every_entry_of_every_match(answer: Answer) -> None:
    table = pa.ipc.open_stream(to_arrow(answer)).read_all()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("type", "string"),
        ("index", "int64"),
        ("distance", "int32"),
        ("set", "string"),
        ("category", "string"),
        ("id", "string"),
    ]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (match.type, match.index, match.distance, one.set, one.category, one.id)
        for match in answer.matches
        for one in match.entries
    ]
    metadata = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    assert (metadata.pop("store"), metadata.pop("state")) == (answer.store, answer.state)
    assert {name: json.loads(value) for name, value in metadata.items()} == {
        "generation": answer.generation,
        "checked": answer.checked,
        "invalid": as_values(answer)["invalid"],
        "truncated": [{"type": one.type, "index": one.index} for one in answer.matches if one.truncated],
    }


def test_one_arrow_answer_does_not_carry_the_metadata_of_another() -> None:
    first = to_arrow(EXAMPLE)
    assert pa.ipc.open_stream(to_arrow(Answer(43, {}, [], []))).schema.metadata[b"truncated"] == b"[]"
    assert to_arrow(EXAMPLE) == first
