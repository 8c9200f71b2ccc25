"""Latencies: noted one by one, and added to what is scraped many at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from hashserver.server.metrics import BUCKETS, Latencies

NAME = "hashserver_http_request_seconds"
edges = st.sampled_from([edge * factor for edge in BUCKETS for factor in (0.999, 1, 1.001)])


def scraped(latencies: Latencies) -> dict[Any, float]:
    return samples(text_string_to_metric_families(latencies.scrape().decode()))


def samples(families: Any) -> dict[Any, float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(edges | st.floats(0, 1e6, allow_subnormal=False), max_size=20), max_size=5))
def test_many_at_once_are_observed_as_one_by_one(batches: list[list[float]]) -> None:
    ours, model = Latencies(), CollectorRegistry()
    theirs = Histogram(NAME, "-", ("method", "route", "status"), registry=model, buckets=BUCKETS)
    for batch in batches:
        for seconds in batch:
            ours.observe("GET", "/x", 200, seconds)
            theirs.labels("GET", "/x", "200").observe(seconds)
        ours.flush()
    found, expected = scraped(ours), samples(model.collect())
    of_sum = (f"{NAME}_sum", ("method", "GET"), ("route", "/x"), ("status", "200"))
    assert found.pop(of_sum, 0.0) == pytest.approx(expected.pop(of_sum, 0.0))
    assert found == expected


def test_methods_that_anybody_makes_up_are_one() -> None:
    latencies = Latencies()
    for method in ("GET", "MAKE", "UP", "GET"):
        latencies.observe(method, "/x", 404, 0.1)
    latencies.flush()
    counts = {labels[0][1]: value for (name, *labels), value in scraped(latencies).items() if "_count" in name}
    assert counts == {"GET": 2, "other": 2}


def test_what_was_noted_is_scraped_once_it_is_flushed_and_once_only() -> None:
    latencies = Latencies()
    latencies.observe("GET", "/x", 200, 0.1)
    assert scraped(latencies) == {}
    latencies.flush()
    latencies.flush()
    counts = [value for (name, *_), value in scraped(latencies).items() if name == f"{NAME}_count"]
    assert counts == [1]
