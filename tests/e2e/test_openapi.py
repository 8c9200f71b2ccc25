"""Schemathesis asks the server what its own OpenAPI document allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from serving import Server, load, md5_of, serving

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
ARGUABLE = ("/v2/check", "/v2/entries", "/v2/feedback", "/v2/usage")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("openapi") / "data"
    load(data, "police", f"{md5_of('known')}\n")
    with serving(data) as running:
        yield running


def test_every_documented_request_gets_a_documented_answer_and_nothing_goes_wrong_inside(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes_of(operation))))
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=CHECKS)

        ask()
    assert asked > 150
    assert "Traceback" not in server.log


def modes_of(operation: schemathesis.schemas.APIOperation) -> list[GenerationMode]:
    """What is allowed; and what is not, where there is anything to get wrong."""
    return [GenerationMode.POSITIVE] + ([GenerationMode.NEGATIVE] if operation.path in ARGUABLE else [])
