"""Keys of entries, there and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hashcore import Entry
from hashserver.ledger.entry_keys import key_of, split_keys

ENTRIES = st.lists(
    st.builds(
        Entry,
        set=st.just("police"),
        category=st.none(),
        id=st.none() | st.sampled_from(["", "hash:00", "id:A-1"]) | st.text(max_size=9),
        added=st.just(1.0),
        digest=st.binary(min_size=16, max_size=32),
    )
)


@given(ENTRIES)
def test_keys_tell_the_id_or_else_the_hash(entries: list[Entry]) -> None:
    ids, digests = split_keys(map(key_of, entries))
    assert ids == [each.id for each in entries if each.id is not None]
    assert digests == [each.digest for each in entries if each.id is None]
