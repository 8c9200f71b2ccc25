"""Tests of `hashserver.readers.json_items`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_model import source_of

from hashcore.rows import Reject
from hashserver.readers import ReadError
from hashserver.readers.blocks import BLOCK_BYTES
from hashserver.readers.json_items import LONGEST_ITEM, Path, read_head, read_items


def items_of(
    data: bytes, *paths: Path, block_bytes: int = BLOCK_BYTES
) -> tuple[list[tuple[int, bytes]], list[Reject]]:
    """Number and text of each item, and the rejects."""
    rejects: list[Reject] = []
    taken = []
    for items in read_items(source_of(data), paths, on_reject=rejects.append, block_bytes=block_bytes):
        taken += [(int(number), items.raw(index)) for index, number in enumerate(items.numbers)]
    return taken, rejects


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
    | st.sampled_from(['"', "\\", '\\"', "]}", '{"value": [', "a,b"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["value", "Media", "x", '"', "\\"]), inner)
    ),
    max_leaves=25,
)


def walk(value: Any, paths: set[Path]) -> list[Any]:
    """What the items should be."""
    inner = {path for path in paths if path}
    if isinstance(value, list):
        return value if () in paths else [item for each in value for item in walk(each, inner)]
    if isinstance(value, dict):
        return [
            item
            for name, each in value.items()
            if (within := {path[1:] for path in inner if path[0] == name})
            for item in walk(each, within)
        ]
    return []


def reachable(value: Any, paths: set[Path]) -> bool:
    """Whether arrays are where they should be, and there is one."""
    inner = {path for path in paths if path}
    if isinstance(value, list):
        return () in paths or (bool(inner) and any(reachable(each, inner) for each in value))
    if isinstance(value, dict) and inner:
        results = [
            reachable(each, within)
            for name, each in value.items()
            if (within := {path[1:] for path in inner if path[0] == name})
        ]
        return any(results)
    return False


def misplaced(value: Any, paths: set[Path]) -> bool:
    """Whether something that is neither an array nor null is where only an array may be."""
    inner = {path for path in paths if path}
    if isinstance(value, list):
        return () not in paths and any(misplaced(each, inner) for each in value)
    if isinstance(value, dict) and inner:
        return any(
            misplaced(each, within)
            for name, each in value.items()
            if (within := {path[1:] for path in inner if path[0] == name})
        )
    return not inner and value is not None


PATHS: list[tuple[Path, ...]] = [((),), (("value",),), (("value", "Media"),), ((), ("value",)), (("x", "x"),)]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(JSON, max_size=4) | st.dictionaries(st.sampled_from(["value", "Media", "x", "y"]), JSON),
    st.sampled_from(PATHS),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from([1, 2, 7, 50, BLOCK_BYTES]),
)
def test_items_are_what_a_parser_finds_at_the_place(
    document: Any, paths: tuple[Path, ...], indent: int | None, ascii_only: bool, block_bytes: int
) -> None:
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    if misplaced(document, set(paths)) or not reachable(document, set(paths)):
        with pytest.raises(ReadError, match="array"):
            items_of(data, *paths, block_bytes=block_bytes)
        return
    taken, rejects = items_of(data, *paths, block_bytes=block_bytes)
    assert [json.loads(text) for _, text in taken] == walk(document, set(paths))
    assert [number for number, _ in taken] == list(range(1, len(taken) + 1))
    assert not rejects


def test_documents_may_follow_one_another() -> None:
    taken, _ = items_of(b'{"data": [1, 2]}\n{"data": [], "data": null}[{"data": [3]}]', ("data",))
    assert taken == [(1, b"1"), (2, b"2"), (3, b"3")]


def test_objects_are_parsed_and_what_is_none_is_told_by_its_byte() -> None:
    data = b' [{"a": 1}, 2, {"b" 3}, {"c": "\xff"}, {:}, {"d": "\\u00e9"}, {"e": "\0"}]'
    (items,) = read_items(source_of(data), [()], on_reject=pytest.fail)
    values, broken = items.parse()
    assert values == [{"a": 1}, None, None, None, None, {"d": "é"}, None]
    assert list(broken) == [1, 2, 3, 4, 6]
    assert broken[1] == "not a JSON object; it begins at byte 13"
    for row in (2, 3, 4, 6):
        assert broken[row].startswith("not JSON: ")
        assert broken[row].endswith(f"; it begins at byte {data.index(items.raw(row)) + 1}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there is no array at value; is the format right"),
        (b"{}", "there is no array at value"),
        (b'{"value": null}', "there is no array at value"),
        (b'{"value": 5}', "line 1, byte 11: expected an array here, or null"),
        (b'\n{"value": {}}', "line 2, byte 12: expected an array here, or null"),
        (b'{"value": []', "line 1, byte 13: expected a comma or }"),
        (b'{"value": [', "the document ends within the array, at item 1; is the file complete"),
        (b'{"value": [{"a": 1},\n{"a"', "line 2, byte 22: the document ends within the array, at item 2"),
        (b'{"value": [{"a": "', "the document ends within the array, at item 1"),
        (b'{"value": [1,]}', "line 1, byte 14: expected a value"),
        (b'{"value": [,1]}', "line 1, byte 12: expected a value"),
        (b'{"value": [1 2]}', "line 1, byte 14: expected a comma or ]"),
        (b'{"value": [{}}', "line 1, byte 14: expected a comma or ]"),
        (b'{"value" []}', "line 1, byte 10: expected a colon"),
        (b'{"value": }', "line 1, byte 11: expected a value"),
        (b'{"x": 1 "value": []}', "line 1, byte 9: expected a comma or }"),
        (b"{value: []}", "line 1, byte 2: expected the name of a member, in quotes"),
        (b'{"x": {"y": [', "ends within the value that begins at byte 7; is the file complete"),
        (b'{"val', "the document ends within a name"),
        (b'{"\\x": 1}', "not a name"),
        (b'{"' + b"v" * 100_000, "a name longer than 65,536 bytes"),
        (b'{"value": []} x', "line 1, byte 15: expected { or ["),
        (b"hello", "line 1, byte 1: expected { or ["),
        (b"\0" * 50, "line 1, byte 1: expected { or ["),
        (b"[" * 100_000, "line 1, byte 34: nested deeper than 32"),
    ],
)
@pytest.mark.parametrize("block_bytes", [1 << 10, BLOCK_BYTES])
def test_a_broken_document_is_refused_with_the_place(data: bytes, message: str, block_bytes: int) -> None:
    with pytest.raises(ReadError) as refused:
        items_of(data, ("value",), block_bytes=block_bytes)
    assert str(refused.value).startswith("input: ")
    assert message in str(refused.value)


def test_every_truncation_is_noticed() -> None:
    data = b'{"a": "b", "value": [{"c": "\\"]}"}, {"d": [1]}], "e": [2]}'
    for length in range(len(data)):
        with pytest.raises(ReadError):
            items_of(data[:length], ("value",), block_bytes=5)


def test_deep_nesting_within_an_item_costs_that_item_only() -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    items = list(read_items(source_of(b"[{}," + deep + b",{}]"), [()], on_reject=pytest.fail))
    parsed = [items[0].parse()] if len(items) == 1 else [each.parse() for each in items]
    assert [value for values, _ in parsed for value in values] == [{}, None, {}]


def test_an_item_that_is_too_long_is_rejected_without_being_held() -> None:
    data = b'[{"a": 1},{"b": "' + b"x" * (150 << 20) + b'"},{"c": 3}]'
    tracemalloc.start()
    try:
        taken, rejects = items_of(data, ())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == [(1, b'{"a": 1}'), (3, b'{"c": 3}')]
    ((reject),) = rejects
    assert (reject.line, reject.text) == (2, data[10:1010])
    assert reject.reason == f"longer than {LONGEST_ITEM:,} bytes; it begins at byte 11; is the format right?"
    assert peak < 150 << 20


def test_the_head_is_what_stands_before_the_first_array() -> None:
    sample = b'\xef\xbb\xbf { "a" : "x\\"y", "b":1.5,"c": true,\n"d": null, "value": [{"e": 1}], "f": 2}'
    assert read_head(sample) == {"a": 'x"y', "b": 1.5, "c": True, "d": None}
    for nothing in (b"", b"[1]", b"{", b'{"a": [1]}', b"\xff\xfe", b'{"a": "b'):
        assert read_head(nothing) == {}


_LOADS_A_PIPE = """
    import resource
    import sys

    from hashserver.readers import open_source, read_rows

    with open_source("-") as source:
        first = next(blocks := read_rows(source, on_reject=print))
        rows = len(first)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows += sum(len(block) for block in blocks)
    print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_does_not_grow_with_the_document() -> None:
    item = b'{"MediaID":%d,"Category":1,"MD5":"%032X","SHA1":"%040X","Tags":"' + b"t" * 150 + b'"}'
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_LOADS_A_PIPE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    written, number = 0, 0
    reader.stdin.write(
        b'{"odata.metadata":"http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media","value":['
    )
    while written < 200 << 20:
        piece = b",".join(item % (each, each + 1, each + 1) for each in range(number, number + 10_000))
        reader.stdin.write(piece if number == 0 else b"," + piece)
        written, number = written + len(piece), number + 10_000
    reader.stdin.write(b"]}")
    reader.stdin.close()
    rows, grown = map(int, reader.stdout.read().split())
    assert reader.wait() == 0
    assert rows == number
    assert grown < 100 << 20
