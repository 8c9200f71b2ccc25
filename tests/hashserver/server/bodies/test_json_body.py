from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore.hashtypes import HASH_TYPES
from hashserver.server.bodies.json_body import parse_json, parse_with_orjson
from hashserver.server.bodies.request import CheckRequest, InvalidHash
from hashserver.server.problems import Problem, RequestLimits

LIMITS = RequestLimits()
MD5 = "9e107d9d372bb6826bd81d3542a419d6"
PDQ = "f8" * 32
WHOLE = (
    b'{"md5": ["9e107d9d372bb6826bd81d3542a419d6","E4D909C290D0FB1CA068FFADDF22CBD0"],\n'
    b'\t"phash":[ "0123456789abcdef" , "nope", ""],"sha1":[],\r\n "max_distance" : {"phash": 3, "pdq":0} }'
)


def values(request: CheckRequest) -> list[Any]:
    """All that a request says, as plain values in order."""
    asked = [
        (
            one.hash_type.name,
            one.digests.shape,
            one.digests.tobytes(),
            None if one.index is None else one.index.tolist(),
        )
        for one in request.asked
    ]
    return [asked, request.invalid, request.max_distance]


def outcome(parse: Any, body: bytes, limits: RequestLimits) -> list[Any]:
    try:
        return values(parse(body, limits))
    except Problem as problem:
        return [problem.status, problem.slug, problem.detail, problem.extra]


def same(body: bytes, limits: RequestLimits = LIMITS) -> list[Any]:
    """Both ways of reading a body, which have to agree."""
    scanned, parsed = (outcome(parse, body, limits) for parse in (parse_json, parse_with_orjson))
    assert scanned == parsed
    return scanned


def spaces() -> st.SearchStrategy[str]:
    return st.text(" \t\r\n", max_size=3)


def in_some_case(text: str, upper: int) -> str:
    return "".join(c.upper() if upper >> (i % 64) & 1 else c for i, c in enumerate(text))


@st.composite
def hashes(draw: st.DrawFn, digits: int) -> str:
    digest = draw(st.binary(min_size=digits // 2, max_size=digits // 2)).hex()
    return '"' + in_some_case(digest, draw(st.integers(0, 2**64 - 1))) + '"'


@st.composite
def escaped(draw: st.DrawFn, text: str) -> str:
    """A string with one of its characters written as an escape."""
    at = draw(st.integers(0, len(text) - 1))
    return f'"{text[:at]}\\u{ord(text[at]):04x}{text[at + 1 :]}"'


@st.composite
def spoilt_items(draw: st.DrawFn, digits: int) -> str:
    good = draw(hashes(digits))
    at = draw(st.integers(1, digits))
    return draw(
        st.one_of(
            st.sampled_from(
                [good[:at] + good[at + 1 :], good[:at] + "0" + good[at:], good[:at] + "g" + good[at + 1 :]]
            ),
            st.sampled_from([good[:at] + "é" + good[at + 1 :], good[:at] + "🙂" + good[at + 1 :], '""', '"ſ"']),
            st.sampled_from(["null", "true", "0", "-1.5e3", "1e400", "9" * 400, "[]", '["a"]', '{"a": [{}]}']),
            st.text(max_size=70).map(lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0)),
            escaped(good[1:-1]),
        )
    )


@st.composite
def arrays(draw: st.DrawFn, digits: int, *, plain: bool) -> str:
    items = hashes(digits) if plain else st.one_of(hashes(digits), hashes(digits), spoilt_items(digits))
    chosen = draw(st.lists(items, max_size=8))
    if draw(st.booleans()):
        return "[" + ",".join(chosen) + "]"
    return "[" + ",".join(draw(spaces()) + item + draw(spaces()) for item in chosen) + draw(spaces()) + "]"


def distances() -> st.SearchStrategy[str]:
    odd = st.sampled_from(
        [
            *(
                "null",
                "[]",
                "3",
                "{}",
                '{"md5": 0}',
                '{"pdq": 65}',
                '{"pdq": -1}',
                '{"pdq": true}',
                '{"pdq": 3.0}',
            ),
            *('{"pdq": {}}', '{"pdq": [1]}', '{"p}q": 3}', '{"pdq": "}"}', '{"p\\u0064q": 3}', '{"pdq" 3}', "{,}"),
            *(
                '{"pdq": 3,}',
                '{"pdq": 1, "pdq": 2}',
                '{"pdq": 99999999999999999999}',
                '{"é": 1}',
                '{"pdq": 1e400}',
            ),
            *('{"ssdeep": 1}', '{"pdq": [[}', '{"pdq": ]}', '{"phash": 16, "pdq": 64}', '{"pdq": 01}'),
        ]
    )
    return st.one_of(st.integers(0, 64).map('{{"pdq": {}}}'.format), odd)


@st.composite
def requests(draw: st.DrawFn, *, plain: bool = False) -> bytes:
    fields = []
    names = st.sampled_from([*HASH_TYPES, "max_distance"])
    for name in draw(st.lists(names, max_size=6, unique=plain or draw(st.booleans()))):
        value = (
            draw(distances()) if name == "max_distance" else draw(arrays(HASH_TYPES[name].hex_digits, plain=plain))
        )
        if not plain and draw(st.integers(0, 11)) == 0:
            value = draw(st.sampled_from(["null", "{}", '""', "[", "]", "7", '["' + MD5 + '",]', "[,]", "[[]]"]))
        key = f'"{name}"'
        if not plain and draw(st.integers(0, 11)) == 0:
            key = draw(
                st.one_of(escaped(name), st.sampled_from(['"md6"', '""', '"mdé"', '"MD5"', "md5", '"a/b~"']))
            )
        fields.append(draw(spaces()) + key + draw(spaces()) + ":" + draw(spaces()) + value + draw(spaces()))
    return (draw(spaces()) + "{" + ",".join(fields) + (draw(spaces()) if not fields else "") + "}").encode()


@settings(max_examples=200, deadline=None)
@given(body=requests(), most=st.sampled_from([1_000_000, 1_000_000, 3]))
def test_scanner_and_parser_agree_on_requests(body: bytes, most: int) -> None:
    same(body, RequestLimits(max_hashes=most))


@settings(max_examples=300, deadline=None)
@given(
    body=st.one_of(st.just(WHOLE), requests(plain=True)),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 3),
            st.one_of(st.sampled_from(list(b'{}[]",:\\ 0fF\n\x00\xff\xef\xbb\xbf')), st.integers(0, 255)),
        ),
        max_size=3,
    ),
)
def test_scanner_and_parser_agree_on_mutated_requests(body: bytes, edits: list[tuple[float, int, int]]) -> None:
    changed = bytearray(body)
    for where, remove, byte in edits:
        at = int(where * (len(changed) + 1))
        changed[at : at + remove] = bytes([byte]) * (remove != 2)
    same(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(body=st.one_of(st.binary(max_size=60), st.text('{}[]",:\\ 0f', max_size=30).map(str.encode)))
def test_scanner_and_parser_agree_on_arbitrary_bytes(body: bytes) -> None:
    same(body)


@settings(max_examples=100, deadline=None)
@given(
    wanted=st.dictionaries(
        st.sampled_from(list(HASH_TYPES.values())).map(lambda hash_type: hash_type.name),
        st.lists(st.binary(min_size=32, max_size=32), max_size=20),
    ),
    indent=st.sampled_from([None, 0, 2]),
    upper=st.integers(0, 2**64 - 1),
)
def test_the_digests_are_those_that_were_written(
    wanted: dict[str, list[bytes]], indent: int | None, upper: int
) -> None:
    digests = {name: [(item * 5)[: HASH_TYPES[name].width] for item in items] for name, items in wanted.items()}
    written = {name: [in_some_case(item.hex(), upper) for item in items] for name, items in digests.items()}
    request = parse_json(json.dumps(written, indent=indent).encode(), LIMITS)
    assert [one.hash_type.name for one in request.asked] == list(digests)
    for one in request.asked:
        assert [row.tobytes() for row in one.digests] == digests[one.hash_type.name]
        assert one.digests.dtype == np.uint8
        assert one.index is None
    assert request.invalid == []


def test_scanner_and_parser_agree_wherever_a_body_is_cut() -> None:
    assert isinstance(same(WHOLE)[0], list)
    for end in range(len(WHOLE)):
        assert same(WHOLE[:end])[:2] == [400, "malformed-body"], WHOLE[:end]


def test_scanner_and_parser_agree_whichever_byte_is_replaced() -> None:
    for at in range(len(WHOLE)):
        for byte in b'\x00"\\]}{[,: g\x80':
            same(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b" ", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"{}\x00", 400),
        (b"\x00{}", 400),
        (b"{} {}", 400),
        (b'{"md5":["\xff\xfe"]}', 400),
        (b'{"md5":["\\ud800"]}', 400),
        (b'{"md5":["\x1f"]}', 400),
        (b'{"md5":["a" "b"]}', 400),
        (b'{"md5":[],}', 400),
        (b'{"md5":["' + MD5.encode() + b'",]}', 400),
        (b'{"md5":["x" , ]}', 400),
        (b'{"md5":[,"x"]}', 400),
        (b'{"md5":["x",,"x"]}', 400),
        (b'{"md5":[]', 400),
        (b"{'md5':[]}", 400),
        (b'{"md5":[NaN]}', 400),
        (b"{}".decode().encode("utf-16"), 400),
        (b"[]", 422),
        (b'"md5"', 422),
        (b"null", 422),
        (b"1" * 30, 422),
        (b'{"md5":{}}', 422),
        (b'{"md5":"' + MD5.encode() + b'"}', 422),
        (b'{"md6":[]}', 422),
        (b'{"":[]}', 422),
        (b'{"max_distance":[]}', 422),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, status: int) -> None:
    assert same(body)[0] == status


@pytest.mark.parametrize("depth", [10, 1021, 1022, 1023, 1024, 1025, 5000, 200_000])
@pytest.mark.parametrize("before", ['{"md5":', '{"max_distance":{"pdq":', '{"max_distance":{"pdq":3,"phash":', ""])
def test_deep_nesting_is_refused_the_same_way(depth: int, before: str) -> None:
    body = before + "[" * depth + "]" * depth + "}" * before.count("{")
    assert same(body.encode())[0] in (200, 400, 422) or before == '{"md5":'


def test_a_bad_item_leaves_the_others_and_their_places() -> None:
    items: list[Any] = [MD5, "x" * 32, None, MD5.upper(), 7, MD5[:-1], [MD5], "é" * 32, True, {}]
    request = parse_json(orjson.dumps({"md5": items}), LIMITS)
    (asked,) = request.asked
    assert [row.tobytes().hex() for row in asked.digests] == [MD5, MD5]
    assert asked.index is not None
    assert asked.index.tolist() == [0, 3]
    assert request.invalid == [
        InvalidHash("md5", 1, "character 1 is not a hexadecimal digit"),
        InvalidHash("md5", 2, "expected a string, got null"),
        InvalidHash("md5", 4, "expected a string, got a number"),
        InvalidHash("md5", 5, "expected 32 hexadecimal digits, got 31"),
        InvalidHash("md5", 6, "expected a string, got an array"),
        InvalidHash("md5", 7, "character 1 is not a hexadecimal digit"),
        InvalidHash("md5", 8, "expected a string, got a boolean"),
        InvalidHash("md5", 9, "expected a string, got an object"),
    ]


@pytest.mark.parametrize("key", ["\\u006dd5", "m\\u0064\\u0035"])
def test_a_key_written_with_escapes_is_the_same_key(key: str) -> None:
    assert same(f'{{"{key}":["{MD5}"]}}'.encode()) == same(f'{{"md5":["{MD5}"]}}'.encode())


def test_a_hash_written_with_escapes_is_the_same_hash() -> None:
    written = "".join(f"\\u{ord(digit):04x}" for digit in MD5)
    assert same(f'{{"md5":["{written}"]}}'.encode()) == same(f'{{"md5":["{MD5}"]}}'.encode())


def test_the_last_of_two_equal_keys_counts() -> None:
    twice = f'{{"md5":["{MD5}"],"sha1":[],"md5":[]}}'
    assert same(twice.encode()) == same(b'{"md5":[],"sha1":[]}')


@pytest.mark.parametrize("bad", [4095, 4096, 4097, 9000])
def test_scanner_and_parser_agree_on_many_bad_items(bad: int) -> None:
    items = ["zz"] * bad
    items[bad // 2 : bad // 2] = [MD5] * 3
    scanned = same(orjson.dumps({"md5": items, "pdq": [PDQ, "zz"]}))
    assert len(scanned[1]) == bad + 1
    assert scanned[1][-1] == InvalidHash("pdq", 1, "expected 64 hexadecimal digits, got 2")


@pytest.mark.parametrize(("size", "status"), [(3, None), (4, 413), (5000, 413)])
def test_more_hashes_than_a_request_may_hold_are_refused(size: int, status: int | None) -> None:
    limits = RequestLimits(max_hashes=3)
    for item in (MD5, "bad", None, "\x7f", "\u00e9"):
        got = same(orjson.dumps({"md5": [item] * size}), limits)
        assert (got[0] if status else None) == status
    split = same(orjson.dumps({"md5": [MD5] * 2, "pdq": [PDQ, "bad"]}), limits)
    assert split[:2] == [413, "too-large"]
    assert "4 hashes" in split[2]


def test_too_many_hashes_are_refused_before_a_reason_is_found_for_each() -> None:
    """A reason for each of them would take a hundred times the memory of the body."""
    import tracemalloc

    body = b'{"md5":[' + b'"",' * 300_000 + b'""]}'
    tracemalloc.start()
    try:
        assert outcome(parse_json, body, RequestLimits(max_hashes=1000))[0] == 413
        assert tracemalloc.get_traced_memory()[1] < 20 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("distance", ["0", "31", "64"])
def test_a_distance_is_read(distance: str) -> None:
    body = f'{{"pdq":["{PDQ}"],"max_distance":{{"pdq":{distance},"phash":2}}}}'
    assert same(body.encode())[2] == {"pdq": int(distance), "phash": 2}


@pytest.mark.parametrize("distance", ["-1", "65", "1.0", "1e1", "true", "null", '"3"', "[3]", "{}", "9" * 30])
def test_a_distance_out_of_range_is_refused_at_its_place(distance: str) -> None:
    got = same(f'{{"max_distance":{{"pdq":{distance}}}}}'.encode())
    assert got[0] == 422
    assert got[3] == {"pointer": "/max_distance/pdq"}


def test_a_distance_for_an_exact_hash_is_refused_with_the_types_that_have_one() -> None:
    got = same(b'{"md5":[],"max_distance":{"md5":0}}')
    assert got[0] == 422
    assert "pdq, phash" in got[2]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a/b~c":[]}', "/a~1b~0c"),
        (b'{"max_distance":{"a/b~c":1}}', "/max_distance/a~1b~0c"),
        (b'{"md5":{}}', "/md5"),
        (b'{"max_distance":3}', "/max_distance"),
    ],
)
def test_a_problem_points_at_its_place_as_rfc_6901_says(body: bytes, pointer: str) -> None:
    assert same(body)[3] == {"pointer": pointer}


@pytest.mark.parametrize("before", ["", '"max_distance":{'])
def test_a_problem_does_not_repeat_a_long_name(before: str) -> None:
    body = "{" + before + '"' + "x" * 100_000 + '":[]}' + "}" * before.count("{")
    with pytest.raises(Problem) as caught:
        parse_json(body.encode(), LIMITS)
    assert len(caught.value.to_bytes()) < 1000


def test_a_syntax_error_says_where_it_is() -> None:
    got = same(b'{"md5":["' + MD5.encode() + b'" 7]}')
    assert got[0] == 400
    assert got[3] == {"offset": 43}


@pytest.mark.parametrize("body", [b"[" + b"[]," * 3_000_000 + b"[]]", b'{"md5":[' + b"1," * 3_000_000 + b"1]}"])
def test_a_swarm_of_values_is_refused_before_each_becomes_an_object(body: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        parse_json(body, RequestLimits(max_hashes=1000))
    assert refusal.value.status == 413


@pytest.mark.parametrize("escaped", [False, True])
def test_base64_is_read_where_the_type_is_written_so(escaped: bool) -> None:
    digests = [bytes([number, 255, 254]) * 48 for number in range(4)]
    written = [digests[0].hex(), base64.b64encode(digests[1]).decode(), digests[2].hex().upper()]
    written += ["!" * 192, base64.b64encode(digests[3]).decode(), "A" * 191]
    body = json.dumps({"photodna": written, "md5": ["A" * 192]})
    request = parse_json(body.replace("/", "\\/").encode() if escaped else body.encode(), LIMITS)
    asked = request.asked[0]
    assert [row.tobytes() for row in asked.digests] == digests
    assert asked.index is not None
    assert asked.index.tolist() == [0, 1, 2, 4]
    assert [(bad.type, bad.index, bad.reason) for bad in request.invalid] == [
        ("photodna", 3, "the 192 characters are not base64 of 144 bytes"),
        ("photodna", 5, "expected 288 hexadecimal digits or 192 characters of base64, got 191"),
        ("md5", 0, "expected 32 hexadecimal digits, got 192"),
    ]
