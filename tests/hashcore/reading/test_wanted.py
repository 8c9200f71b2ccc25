"""Rows with wanted ids are found, except for dead ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hashcore import Strings
from hashcore.reading.wanted import Wanted


@settings(max_examples=100, deadline=None)
@given(
    given=st.lists(st.text("ab", max_size=3), max_size=30),
    wanted=st.lists(st.text("ab", max_size=3), max_size=5),
    dead=st.sets(st.integers(0, 29)),
)
def test_ids_are_found_where_they_stand(given: list[str], wanted: list[str], dead: set[int]) -> None:
    ids = Wanted(each.encode() for each in wanted)
    rows = ids.rows(Strings.of([each.encode() for each in given]), np.array(sorted(dead), np.uint32))
    assert rows.tolist() == [
        index for index, each in enumerate(given) if each and each in wanted and index not in dead
    ]
    assert ids.found == {given[row].encode() for row in rows.tolist()}
