"""What parties and sets refuse, as HTTP says it."""

from __future__ import annotations

from typing import Any

import pytest

from hashserver.parties.directory import NotAuthenticated, NotPermitted
from hashserver.parties.limits import Allowance, OverLimit
from hashserver.server.errors import REFUSALS, as_response, problem_of
from hashserver.server.problems import Problem, malformed
from hashserver.sets.errors import BadMember, NotInStore, NotJson, TooManyEntries

ALLOWANCE = Allowance('"rate";q=10;w=1', '"rate";r=0;t=3')
CASES: list[tuple[Exception, int, str, str, dict[str, Any]]] = [
    (NotAuthenticated("why"), 401, "unauthorized", "Unauthorized", {}),
    (NotPermitted("why"), 403, "forbidden", "Forbidden", {}),
    (OverLimit("why", "rate", 2.6004, ALLOWANCE), 429, "rate-exceeded", "Too many hashes", {"retry_after": 2.6}),
    (OverLimit("why", "quota", 1.0, ALLOWANCE), 429, "quota-exceeded", "Too many hashes", {"retry_after": 1.0}),
    (NotJson("why"), 400, "malformed-body", "Malformed body", {}),
    (BadMember("why", "/id"), 422, "unprocessable", "Unprocessable request", {"pointer": "/id"}),
    (BadMember("why", ""), 422, "unprocessable", "Unprocessable request", {"pointer": ""}),
    (BadMember("why"), 422, "unprocessable", "Unprocessable request", {}),
    (TooManyEntries("why", 10), 413, "too-large", "Request too large", {"limit": 10}),
    (NotInStore("why"), 404, "not-found", "Not found", {}),
]


@pytest.mark.parametrize(("error", "status", "slug", "title", "extra"), CASES)
def test_a_refusal_is_said_as_problem_details(
    error: Exception, status: int, slug: str, title: str, extra: dict[str, Any]
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.slug, problem.title) == (status, slug, title)
    assert (problem.detail, problem.extra) == ("why", extra)


def test_every_refusal_is_translated() -> None:
    assert {type(case[0]) for case in CASES} | {Problem} == set(REFUSALS)
    assert problem_of(malformed("as it is")).detail == "as it is"

    class Closer(NotInStore):
        """An error may be told apart further."""

    assert problem_of(Closer("why")).status == 404


def test_who_is_not_known_is_told_how_to_say_who_they_are() -> None:
    headers = as_response(problem_of(NotAuthenticated("why"))).headers
    assert headers["WWW-Authenticate"].startswith('Bearer realm="hashserver", Basic realm="hashserver"')


@pytest.mark.parametrize(("wait", "seconds"), [(0.01, "1"), (1.0, "1"), (2.6, "3"), (43200.0, "43200")])
def test_who_asks_too_much_is_told_when_to_come_back(wait: float, seconds: str) -> None:
    headers = as_response(problem_of(OverLimit("why", "rate", wait, ALLOWANCE))).headers
    assert headers["Retry-After"] == seconds
    assert headers["RateLimit-Policy"] == ALLOWANCE.policy
    assert headers["RateLimit"] == ALLOWANCE.state
