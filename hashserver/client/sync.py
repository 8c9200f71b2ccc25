"""The client for programs with threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashserver.client.asynchronous import AsyncClient
from hashserver.client.hashes import Hashes
from hashserver.client.protocol import Verdict
from hashserver.client.results import CheckResult

_Answer = TypeVar("_Answer")


class Client:
    """A connection pool to one server; threads share it.

    It is an `AsyncClient` with an event loop in a thread of its own: only there can a request be
    given up at any moment, whatever the server does.

    Args:
        url: the server's root URL.
        key: API key, or None where the server needs none.
        batch: hashes in a request of `check`.
        connections: requests under way at once.
        timeout: seconds for a request and its answer as a whole; a large request gets more.
        retries: how often a request is sent again when the connection breaks or the server is busy.
        patience: seconds for all tries of a request together; None for no limit but `retries`.

    Raises:
        ClientError: the URL or the key cannot be one.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        batch: int = 50_000,
        connections: int = 4,
        timeout: float = 60.0,
        retries: int = 6,
        patience: float | None = None,
    ) -> None:
        self._make = partial(
            AsyncClient,
            url,
            key,
            batch=batch,
            connections=connections,
            timeout=timeout,
            retries=retries,
            patience=patience,
        )
        self._asynchronous = self._make()
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self.connections = connections

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what is under way in other threads is cancelled."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or self._process != os.getpid():
            return
        self._loop = None
        asyncio.run_coroutine_threadsafe(_finish(self._asynchronous), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    @property
    def server(self) -> str:
        """The root URL."""
        return self._asynchronous.server

    def check(self, *, max_distance: Mapping[str, int] | None = None, **hashes: Hashes) -> CheckResult:
        """Check hashes, in as many requests as it takes, several of them at once.

        A check changes nothing, so its requests are sent again when the connection breaks or the
        server is busy. When one fails for good, the whole check fails.

        Args:
            max_distance: greatest distance by perceptual type; each set's own where absent.
            hashes: by type (md5, sha1, sha256, pdq, phash, photodna): hexadecimal strings in either
                case (of photodna also base64) and raw digests as bytes, mixed as you like, or an
                array, uint8[n, width]. A malformed one is listed in `invalid`, and the others are
                checked.

        Raises:
            ClientError: when the server refuses, or after the last try.
            UnknownHashType, BadDistance: there is no such type, or a distance is out of range.
            TypeError, ValueError: an argument does not hold hashes at all.
        """
        return self._run(lambda client: client.check(max_distance=max_distance, **hashes))

    def check_packed(self, hash_type: HashType, digests: Digests, max_distance: int | None = None) -> CheckResult:
        """Check digests of one type, uint8[n, width], in one request.

        Raises:
            ClientError: as for `check`.
            ValueError: the array holds no digests of this type.
        """
        return self._run(lambda client: client.check_packed(hash_type, digests, max_distance))

    def sets(self) -> dict[str, Any]:
        """The sets that the server has, and its generation, as `GET /v2/sets` answers.

        Raises:
            ClientError: as for `check`.
        """
        return self._run(lambda client: client.sets())

    def usage(self) -> dict[str, Any]:
        """What this party has checked and what matched, as `GET /v2/usage` answers.

        Raises:
            ClientError: as for `check`.
        """
        return self._run(lambda client: client.usage())

    def feedback(self, *, set: str, id: str, verdict: Verdict, note: str = "") -> dict[str, Any]:
        """Tell the server what an entry that matched turned out to be.

        It is sent again only when the server has certainly not taken it.

        Args:
            set, id: the entry, as the match names it.
            verdict: "false-positive" or "confirmed".
            note: a sentence for the people who look into it; no customer's data.

        Raises:
            ClientError: the server refuses, cannot be reached, or breaks off.
            ValueError: there is no such verdict.
        """
        return self._run(lambda client: client.feedback(set=set, id=id, verdict=verdict, note=note))

    def _run(self, ask: Callable[[AsyncClient], Coroutine[Any, Any, _Answer]]) -> _Answer:
        with self._starting:
            loop = self._started_loop()
        under_way = asyncio.run_coroutine_threadsafe(ask(self._asynchronous), loop)
        try:
            return under_way.result()
        except BaseException:
            under_way.cancel()
            raise

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():  # forked: threads and connections stay with the parent
            self._process, self._loop = os.getpid(), None
            self._asynchronous = self._make()
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="hashserver-client", daemon=True)
            self._thread.start()
        return self._loop


async def _finish(client: AsyncClient) -> None:
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    await client.aclose()
    await asyncio.get_running_loop().shutdown_default_executor()
