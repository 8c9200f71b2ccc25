from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hashserver.server.bodies import ACCEPTED, ARROW, JSON, PACKED, TEXT, parse_body
from hashserver.server.problems import Problem, RequestLimits

LIMITS = RequestLimits()
DIGEST = bytes(range(8))


def arrow(*names: str) -> bytes:
    widths = {"md5": 16, "pdq": 32, "phash": 8}
    columns = [pa.array([bytes(widths[name])], pa.binary(widths[name])) for name in names]
    batch = pa.record_batch(columns, names=list(names))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def refused(content_type: str, hash_type: str | None, body: bytes, max_distance: int | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_body(content_type, hash_type, body, LIMITS, max_distance=max_distance)
    return caught.value


@pytest.mark.parametrize(
    ("content_type", "hash_type", "body"),
    [
        (JSON, None, b'{"phash":["0001020304050607"]}'),
        ("Application/JSON; charset=utf-8", None, b'{"phash":["0001020304050607"]}'),
        (PACKED, "phash", DIGEST),
        (TEXT, "phash", b"0001020304050607\n"),
        (" text/plain ;charset=us-ascii", "phash", b"0001020304050607"),
    ],
)
def test_a_body_is_read_by_its_content_type(content_type: str, hash_type: str | None, body: bytes) -> None:
    (asked,) = parse_body(content_type, hash_type, body, LIMITS).asked
    assert asked.hash_type.name == "phash"
    assert np.array_equal(asked.digests, [list(DIGEST)])


def test_an_arrow_body_is_read_by_its_content_type() -> None:
    assert [asked.hash_type.name for asked in parse_body(ARROW, None, arrow("md5", "pdq"), LIMITS).asked] == [
        "md5",
        "pdq",
    ]


@pytest.mark.parametrize(
    "content_type", ["", "application/xml", "json", "text/plain2", "application/json,text/plain"]
)
def test_another_content_type_is_refused_with_those_that_are_read(content_type: str) -> None:
    problem = refused(content_type, "md5", b"")
    assert problem.status == 415
    assert all(name in problem.detail for name in ACCEPTED)
    assert problem.headers == {"Accept-Post": ", ".join(ACCEPTED)}


@pytest.mark.parametrize("content_type", [PACKED, TEXT])
@pytest.mark.parametrize("hash_type", [None, "", "md6", "MD5"])
def test_a_body_that_does_not_name_its_hash_type_needs_the_parameter(
    content_type: str, hash_type: str | None
) -> None:
    problem = refused(content_type, hash_type, b"")
    assert problem.status == 422
    assert "md5, sha1, sha256, pdq, phash, photodna" in problem.detail


@pytest.mark.parametrize("content_type", [PACKED, TEXT])
def test_the_distance_of_the_address_is_for_the_type_of_the_body(content_type: str) -> None:
    assert parse_body(content_type, "pdq", b"", LIMITS, max_distance=0).max_distance == {"pdq": 0}
    assert parse_body(content_type, "pdq", b"", LIMITS).max_distance == {}
    assert refused(content_type, "pdq", b"", 65).status == 422
    assert refused(content_type, "md5", b"", 0).status == 422


def test_the_distance_of_the_address_is_for_every_near_type_of_an_arrow_body() -> None:
    both = parse_body(ARROW, None, arrow("md5", "pdq", "phash"), LIMITS, max_distance=16)
    assert both.max_distance == {"pdq": 16, "phash": 16}
    assert refused(ARROW, None, arrow("pdq", "phash"), 17).extra == {"pointer": "/max_distance/phash"}
    assert refused(ARROW, None, arrow("md5"), 1).status == 422
