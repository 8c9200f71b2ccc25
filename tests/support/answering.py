"""A small real server that answers as a hashserver does, about sets that a test can change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flaky import Asked, Reply, flaky

from hashcore.hashtypes import HASH_TYPES


@dataclass
class Answering:
    """What the server knows, and what it was asked.

    Args:
        known: MD5s that match, by their hexadecimal form, with the id of their entry.
        generation, state, published: that it names; `answering` is the state that its answers come
            from if that is another one. A state of None is not named, as by earlier versions.
        types: of its one set; none: it has no set.
        checked: digests that it was asked about.
    """

    known: dict[str, str] = field(default_factory=dict)
    generation: int = 1
    state: str | None = "a"
    answering: str | None = None
    published: str = "2026-03-01T04:00:00Z"
    types: tuple[str, ...] = ("md5", "pdq")
    checked: list[str] = field(default_factory=list)
    url: str = ""

    def knows(self, *contents: bytes) -> None:
        """Let the MD5s of these contents match."""
        for content in contents:
            self.known[hashlib.md5(content).hexdigest()] = f"I-{len(self.known)}"

    def answer(self, asked: Asked) -> dict[str, Any]:
        """The body of an answer."""
        address = urlsplit(asked.path)
        if address.path == "/v2/sets":
            counts = dict.fromkeys(self.types, 1)
            sets = [{"name": "police", "role": "match", "hashes": counts}] if counts else []
            about = {"generation": self.generation, "published": self.published, "sets": sets}
            return about if self.state is None else about | {"store": "s", "state": self.state}
        (name,) = parse_qs(address.query)["type"]
        width = HASH_TYPES[name].width
        digests = [asked.body[place : place + width].hex() for place in range(0, len(asked.body), width)]
        self.checked += digests
        matches = [
            {
                "type": name,
                "index": index,
                "hash": digest,
                "distance": 0,
                "entries": [{"set": "police", "category": None, "id": self.known[digest]}],
            }
            for index, digest in enumerate(digests)
            if digest in self.known
        ]
        told = {"generation": self.generation, "checked": {name: len(digests)}, "matches": matches, "invalid": []}
        state = self.answering or self.state
        return told if state is None else told | {"store": "s", "state": state}


@contextmanager
def answering() -> Iterator[Answering]:
    """Such a server, while it runs."""
    made = Answering()
    with flaky(Reply(200, made.answer)) as server:
        made.url = server.url
        yield made
