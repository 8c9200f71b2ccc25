"""Reading in one thread while another works on what has been read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_PATIENCE = 1.0  # seconds for the thread to end


def read_ahead(items: Iterator[_Item], depth: int = 2) -> Generator[_Item, None, None]:
    """Iterate over what an iterator makes in a thread of its own, up to `depth` items ahead.

    An error in the iterator is raised here, after the items before it. When the consumer stops
    early, the thread ends at its next item.
    """
    ready: queue.Queue[tuple[str, object]] = queue.Queue(depth)
    stopped = threading.Event()

    def offer(kind: str, value: object) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not offer("item", item):
                    return
            offer("end", None)
        except BaseException as error:
            offer("error", error)

    producer = threading.Thread(target=produce, name="read-ahead", daemon=True)
    producer.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stopped.set()
        # It may be waiting for a pipe into which nobody writes: it ends with the process, then.
        producer.join(_PATIENCE)
