from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hashcore.disk.tombstones import are_dead


@given(dead=st.sets(st.integers(0, 50)), rows=st.lists(st.integers(0, 60)))
def test_rows_are_dead_that_are_in_the_list(dead: set[int], rows: list[int]) -> None:
    found = are_dead(np.array(sorted(dead), np.uint32), np.array(rows, np.int64))
    assert found.tolist() == [each in dead for each in rows]
