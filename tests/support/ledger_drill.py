"""A client that writes down what it was told, and a server that is killed while it tells it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from serving import Server, md5_of

from hashserver.ledger import Ledger
from hashserver.ledger.fold import fold

KNOWN = [md5_of(f"known {number}") for number in range(100)]
HITS, MISSES = 2, 20


@dataclass
class Acknowledged:
    """What a client was told.

    Args:
        hits: request ids of answers with hits.
        checked: when each answer came, and hashes checked.
        wrong: answers that should not have come.
        longest_wait: seconds for an answer over a connection that a worker had taken before.
    """

    hits: list[str] = field(default_factory=list)
    checked: list[tuple[float, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    longest_wait: float = 0.0


class Load:
    """Threads that ask a server without end.

    Args:
        port: where it listens; it may be gone at times.
        name: of this load, for request ids.
        key: of a party, or None.
        threads: clients.
    """

    def __init__(self, port: int, name: str, key: str | None = None, threads: int = 4) -> None:
        self._url, self._name = f"http://127.0.0.1:{port}", name
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self.told = [Acknowledged() for _ in range(threads)]
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answers(self) -> list[tuple[float, int]]:
        """When each answer so far came, and hashes checked."""
        return [answer for each in self.told for answer in each.checked]

    def checked(self) -> int:
        """Hashes checked so far."""
        return sum(hashes for _, hashes in self.answers())

    def longest_wait(self) -> float:
        """Seconds that this machine has held up the answering of a request at most."""
        return max(each.longest_wait for each in self.told)

    def _ask(self, number: int) -> None:
        told, chance, turn = self.told[number], random.Random(f"{self._name}{number}"), 0
        while not self._stop.is_set():
            with suppress(httpx.TransportError), httpx.Client(base_url=self._url, headers=self._headers) as client:
                began = None
                while not self._stop.is_set():
                    turn += 1
                    self._one(client, told, chance, f"{self._name}-{number}-{turn}")
                    ended = time.monotonic()
                    if began is not None:
                        told.longest_wait = max(told.longest_wait, ended - began)
                    began = ended
            time.sleep(0.02)

    def _one(self, client: httpx.Client, told: Acknowledged, chance: random.Random, request: str) -> None:
        known = chance.sample(KNOWN, HITS) if chance.random() < 0.7 else []
        asked = known + [f"{chance.getrandbits(128):032x}" for _ in range(MISSES)]
        response = client.post("/v2/check", json={"md5": asked}, headers={"X-Request-Id": request}, timeout=10)
        if response.status_code != 200 or response.headers["x-request-id"] != request:
            told.wrong.append(f"{response.status_code} {response.text}")
            return
        if len(response.json()["matches"]) != len(known):
            told.wrong.append(response.text)
        if known:
            told.hits.append(request)
        told.checked.append((time.monotonic(), len(asked)))


def kill_all(server: Server, pids: list[int]) -> None:
    """End a server and its workers as a power cut would, with no word of warning."""
    for pid in [server.process.pid, *pids]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()


def hits_by_request(folder: Path) -> dict[str, int]:
    """Hits in the ledger by request id, once all of the inbox is folded."""
    with Ledger(folder, create=True) as ledger:
        fold(ledger)
        query = "SELECT request, count(*) FROM matches WHERE rank = 0 GROUP BY request"
        return dict(ledger.connection.execute(query).fetchall())


def counted(folder: Path) -> dict[str, int]:
    """The sums of all counts."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        names = ("requests", "checked", "hits", "invalid")
        row = connection.execute(
            "SELECT sum(requests), sum(checked), sum(hits), sum(invalid) FROM counts"
        ).fetchone()
    return {name: value or 0 for name, value in zip(names, row, strict=True)}


def most_within(seconds: float, answers: list[tuple[float, int]], moments: list[float]) -> int:
    """Hashes of the answers that came in the last seconds before some moments."""
    return sum(hashes for when, hashes in answers if any(0 <= moment - when <= seconds for moment in moments))


def body(hashes: list[str]) -> bytes:
    """A request of MD5s."""
    return json.dumps({"md5": hashes}).encode()
