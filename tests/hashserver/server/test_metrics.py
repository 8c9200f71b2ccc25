"""Latencies: noted one by one, and added to what is scraped many at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from hashserver.server import metrics
from hashserver.server.metrics import _BUCKETS, _Seconds

edges = st.sampled_from([edge * factor for edge in _BUCKETS for factor in (0.999, 1, 1.001)])


def samples(registry: CollectorRegistry) -> dict[Any, float]:
    return {
        (sample.name, *sample.labels.items()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(edges | st.floats(0, 1e6, allow_subnormal=False), max_size=20), max_size=5))
def test_many_at_once_are_observed_as_one_by_one(batches: list[list[float]]) -> None:
    bulk, model = CollectorRegistry(), CollectorRegistry()
    ours = _Seconds("seconds", "-", registry=bulk, buckets=_BUCKETS)
    theirs = Histogram("seconds", "-", registry=model, buckets=_BUCKETS)
    for batch in batches:
        ours.observe_all(batch)
        for seconds in batch:
            theirs.observe(seconds)
    found, expected = samples(bulk), samples(model)
    assert found.pop(("seconds_sum",)) == pytest.approx(expected.pop(("seconds_sum",)))
    assert found == expected


def test_methods_that_anybody_makes_up_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: dict[Any, list[float]] = {}
    monkeypatch.setattr(metrics, "_noted", noted)
    for method in ("GET", "MAKE", "UP", "GET"):
        metrics.observe(method, "/x", 404, 0.1)
    assert noted == {("GET", "/x", 404): [0.1, 0.1], ("other", "/x", 404): [0.1, 0.1]}
