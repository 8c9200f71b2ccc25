"""Tests of `hashserver.readers.read_ahead`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver.readers.read_ahead import read_ahead


def producers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(), st.none(), st.text())), st.integers(1, 5))
def test_every_item_comes_once_and_in_order(items: list[object], depth: int) -> None:
    assert list(read_ahead(iter(items), depth)) == items
    assert not producers()


def test_the_producer_runs_in_another_thread_and_ahead_of_the_consumer() -> None:
    threads = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            threads.append(threading.current_thread())
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    assert third.wait(30)
    assert list(ahead) == [1, 2, 3, 4]
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_producer_is_never_further_ahead_than_asked(depth: int) -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            yield number

    for number in read_ahead(items(), depth):
        # Those taken, those that wait, and the one that waits for room.
        assert made <= number + 1 + depth + 1
    assert made == 100


@pytest.mark.parametrize(
    "error", [ValueError("broken"), OSError(5, "I/O error"), KeyboardInterrupt(), SystemExit(3)]
)
@pytest.mark.parametrize("after", [0, 1, 10])
def test_an_error_of_the_producer_is_raised_after_the_items_before_it(error: BaseException, after: int) -> None:
    def items() -> Iterator[int]:
        yield from range(after)
        raise error

    seen: list[int] = []
    ahead = read_ahead(items())
    with pytest.raises(type(error)) as caught:  # noqa: PT012
        for item in ahead:
            seen.append(item)  # noqa: PERF402
    assert caught.value is error
    assert seen == list(range(after))
    assert not producers()


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_closing_early_stops_a_producer_without_end(taken: int) -> None:
    def items() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    ahead = read_ahead(items())
    assert [next(ahead) for _ in range(taken)] == list(range(taken))
    assert len(producers()) == 1
    ahead.close()
    assert not producers()


def test_an_error_of_the_consumer_stops_the_producer() -> None:
    def consume() -> None:
        for _ in read_ahead(iter(int, 1)):
            raise ValueError("of the consumer")

    with pytest.raises(ValueError, match="of the consumer"):
        consume()
    assert not producers()


def test_an_error_of_the_producer_while_closing_is_not_raised() -> None:
    asked = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        asked.wait(30)
        raise ValueError("too late")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    threading.Timer(0.05, asked.set).start()
    ahead.close()
    assert not producers()


def test_what_is_never_started_starts_no_thread() -> None:
    ahead = read_ahead(iter([1]))
    assert not producers()
    ahead.close()
    assert list(ahead) == []
