"""What a known-good set vouches for is not reported; nothing else is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_model import blocks_of, check, row, rows_of

from hashcore import LoadOptions, Planned, Store
from hashcore import hash_type as look_up


def test_a_known_good_set_made_to_match_does_not_report_the_empty_file(tmp_path: Path) -> None:
    empty = next(iter(look_up("md5").benign))
    with Store(tmp_path) as store:
        store.load("nsrl", [rows_of([{"md5": empty}, row(1)])], LoadOptions("known-good"), now=1.0)
        store.change_role("nsrl", "match", now=2.0)
        assert check(store, "md5", [empty]) == {}
        assert check(store, "md5", [row(1)["md5"]]).total() == 1


def test_the_hash_of_a_blank_picture_matches_nothing(tmp_path: Path) -> None:
    """Not even in a set that was known-good when its blank hashes were loaded."""
    width = look_up("pdq").width
    near = bytes([1]) + bytes(width - 1)
    with Store(tmp_path) as store:
        store.load("good", [rows_of([{"pdq": near}])], LoadOptions("known-good"), now=1.0)
        store.change_role("good", "match", now=2.0)
        assert check(store, "pdq", [bytes(width), near]) == {}


def test_what_looks_a_load_over_may_stop_it(tmp_path: Path) -> None:
    seen: list[Planned] = []

    def look_over(planned: Planned) -> None:
        seen.append(planned)
        raise LookupError

    with Store(tmp_path) as store:
        store.load("police", [rows_of([row(1), row(2), row(3)])], now=1.0)
        with pytest.raises(LookupError):
            store.load("police", [rows_of([row(3)])], LoadOptions(look_over=look_over), now=2.0)
        assert (seen[0].before, seen[0].after, seen[0].tally.removed) == (3, 1, 2)
        assert check(store, "md5", [row(1)["md5"]]).total() == 1
        with store.read() as snapshot:
            assert snapshot.generation == 1


def test_a_match_set_made_known_good_suppresses_and_back_again_reports(tmp_path: Path) -> None:
    given = [row(1, sha1=b"s" * 20)]
    with Store(tmp_path) as store:
        store.load("police", [rows_of(given)], now=1.0)
        store.load("stock", [rows_of(given)], LoadOptions("match"), now=2.0)
        for role, sets in (("known-good", set()), ("match", {"police", "stock"}), ("known-good", set())):
            outcome = store.change_role("stock", role, now=3.0)
            assert outcome.changed
            assert {answer[1] for answer in check(store, "sha1", [b"s" * 20])} == sets


def test_what_is_vouched_for_does_not_use_up_the_room_for_matches(tmp_path: Path) -> None:
    """Thousands of entries share an MD5; a set vouches, by SHA-1, for all but the last."""
    many = [{"md5": b"m" * 16, "sha1": n.to_bytes(20, "big")} for n in range(2500)]
    with Store(tmp_path) as store:
        store.load("police", blocks_of(many, 1000), now=1.0)
        vouched = [{"sha1": each["sha1"]} for each in many[:-1]]
        store.load("nsrl", blocks_of(vouched, 1000), LoadOptions("known-good"), now=1.0)
        assert len(check(store, "sha1", [each["sha1"] for each in many])) == 1
        assert len(check(store, "md5", [b"m" * 16])) == 1


@pytest.mark.parametrize("hash_type", ["md5", "pdq"])
def test_a_known_good_entry_that_is_withdrawn_vouches_for_nothing_but_its_twin_does(
    store: Store, hash_type: str
) -> None:
    digest = bytes(range(look_up(hash_type).width))
    store.load("known", [rows_of([{hash_type: digest, "id": "k"}])], now=1.0)
    twins = [{hash_type: digest, "id": each} for each in ("one", "two")]
    store.load("good", [rows_of(twins)], LoadOptions(role="known-good"), now=2.0)
    assert not check(store, hash_type, [digest])
    for each, matches in (("one", 0), ("two", 1)):
        store.withdraw("good", [each], now=3.0)
        assert check(store, hash_type, [digest]).total() == matches
