from __future__ import annotations

import json

import pytest

from hashserver.server.problems import (
    Problem,
    RequestLimits,
    malformed,
    too_large,
    too_many,
    unprocessable,
    unsupported,
)


@pytest.mark.parametrize(
    ("problem", "status", "members"),
    [
        (malformed("It is cut short.", offset=7), 400, {"type": "/problems/malformed-body", "offset": 7}),
        (too_large("It is too long.", 10), 413, {"type": "/problems/too-large", "limit": 10}),
        (unsupported("It is no JSON."), 415, {"type": "/problems/unsupported-media-type"}),
        (
            unprocessable("No such type.", pointer="/md6"),
            422,
            {"type": "/problems/unprocessable", "pointer": "/md6"},
        ),
    ],
)
def test_a_problem_is_written_with_the_members_of_rfc_9457(
    problem: Problem, status: int, members: dict[str, object]
) -> None:
    written = json.loads(problem.to_bytes())
    assert problem.status == status
    assert written == {"title": problem.title, "status": status, "detail": problem.detail, **members}
    assert str(problem) == problem.detail


def test_too_many_hashes_are_named_in_figures_one_can_read() -> None:
    problem = too_many(1_234_567, RequestLimits())
    assert problem.status == 413
    assert "1,234,567 hashes, more than 1,000,000" in problem.detail
    assert problem.extra == {"limit": 1_000_000}


def test_what_is_read_instead_goes_into_the_headers_by_their_names() -> None:
    assert unsupported("It is no JSON.", Accept_Post="text/plain").headers == {"Accept-Post": "text/plain"}


def test_headers_of_one_problem_are_not_those_of_another() -> None:
    malformed("first").headers["Connection"] = "close"
    assert malformed("second").headers == {}
