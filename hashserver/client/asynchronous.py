"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashserver.client.hashes import Hashes, RequestBatch, as_digests, question
from hashserver.client.protocol import (
    Request,
    Tries,
    Verdict,
    check_request,
    feedback_request,
    http_options,
    not_a_url,
    read_check,
    read_object,
    read_sets,
)
from hashserver.client.results import CheckResult, merged


class AsyncClient:
    """A connection pool to one server; the tasks of one event loop share it.

    Args:
        url: the server's root URL.
        key: API key, or None where the server needs none.
        batch: hashes in a request of `check`.
        connections: requests under way at once.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again when the connection breaks or the server is busy.

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
    ) -> None:
        if batch < 1 or connections < 1:
            raise ValueError("a client needs at least one hash in a batch, and one connection")
        self._server, self._batch, self._retries = url.rstrip("/"), batch, retries
        self.connections = connections
        self._turns = asyncio.Semaphore(connections)
        try:
            self._http = httpx.AsyncClient(
                **http_options(self._server, key, connections=connections, timeout=timeout)
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise not_a_url(url, error) from error

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def server(self) -> str:
        """The root URL."""
        return self._server

    async def check(self, *, max_distance: Mapping[str, int] | None = None, **hashes: Hashes) -> CheckResult:
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
        asked = await asyncio.to_thread(question, hashes, max_distance, self._batch)
        under_way = [asyncio.ensure_future(self._check(batch)) for batch in asked.batches]
        try:
            parts = await asyncio.gather(*under_way)
        except BaseException:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            raise
        return merged(parts, asked.types, asked.invalid)

    async def check_packed(
        self, hash_type: HashType, digests: Digests, max_distance: int | None = None
    ) -> CheckResult:
        """Check digests of one type, uint8[n, width], in one request.

        Raises:
            ClientError: as for `check`.
            ValueError: the array holds no digests of this type.
        """
        return await self._check(
            RequestBatch(hash_type, as_digests(hash_type, digests), range(len(digests)), max_distance)
        )

    async def sets(self) -> dict[str, Any]:
        """The sets that the server has, and its generation, as `GET /v2/sets` answers.

        Raises:
            ClientError: as for `check`.
        """
        return read_sets(await self._send(Request("GET", "/v2/sets")), self._server)

    async def usage(self) -> dict[str, Any]:
        """What this party has checked and what matched, as `GET /v2/usage` answers.

        Raises:
            ClientError: as for `check`.
        """
        return await self._send(Request("GET", "/v2/usage"))

    async def feedback(self, *, set: str, id: str, verdict: Verdict, note: str = "") -> dict[str, Any]:
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
        return await self._send(feedback_request(set=set, id=id, verdict=verdict, note=note))

    async def _check(self, batch: RequestBatch) -> CheckResult:
        async with self._turns:  # a batch is packed when its turn comes, not while it waits
            answer = await self._send(check_request(batch.hash_type, batch.digests, batch.max_distance))
        return read_check(answer, batch, self._server)

    async def _send(self, request: Request) -> dict[str, Any]:
        tries = Tries(request, self._server, self._retries)
        while True:
            try:
                response = await self._http.request(
                    request.method,
                    request.path,
                    params=request.parameters,
                    content=request.body,
                    headers=request.headers,
                )
            except httpx.RequestError as error:
                await asyncio.sleep(tries.pause_after_error(error))
                continue
            wait = tries.pause_after_answer(response.status_code, response.headers)
            if wait is None:
                return read_object(response, self._server)
            await asyncio.sleep(wait)
