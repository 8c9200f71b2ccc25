"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashserver.client.bounds import LEAST_BYTES, AnswerTooLarge, most_bytes, read_body
from hashserver.client.hashes import Hashes, RequestBatch, as_digests, question
from hashserver.client.protocol import (
    Request,
    Response,
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
        if batch < 1 or connections < 1:
            raise ValueError("a client needs at least one hash in a batch, and one connection")
        self._server, self._batch = url.rstrip("/"), batch
        self._timeout, self._retries, self._patience = timeout, retries, patience
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
        return read_sets(await self._in_turn(Request("GET", "/v2/sets")), self._server)

    async def usage(self) -> dict[str, Any]:
        """What this party has checked and what matched, as `GET /v2/usage` answers.

        Raises:
            ClientError: as for `check`.
        """
        return await self._in_turn(Request("GET", "/v2/usage"))

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
        return await self._in_turn(feedback_request(set=set, id=id, verdict=verdict, note=note))

    async def _check(self, batch: RequestBatch) -> CheckResult:
        count = len(batch.digests)
        try:
            async with self._turns:  # a batch is packed when its turn comes, not while it waits
                request = check_request(batch.hash_type, batch.digests, batch.max_distance)
                return read_check(await self._send(request, most_bytes(count)), batch, self._server)
        except AnswerTooLarge:
            if count < 2:
                raise
        halves = batch.part(0, count // 2), batch.part(count // 2, count)
        return merged([await self._check(half) for half in halves], [batch.hash_type.name], [])

    async def _in_turn(self, request: Request) -> dict[str, Any]:
        async with self._turns:
            return await self._send(request, LEAST_BYTES)

    async def _send(self, request: Request, most: int) -> dict[str, Any]:
        tries = Tries(request, self._server, self._retries, self._patience)
        while True:
            seconds = tries.seconds(self._timeout)
            try:
                async with asyncio.timeout(seconds):
                    response = await self._exchange(request, most)
            except TimeoutError:
                late = httpx.ReadTimeout(f"no complete answer within {seconds:.0f} s")
                await asyncio.sleep(tries.pause_after_error(late))
                continue
            except httpx.RequestError as error:
                await asyncio.sleep(tries.pause_after_error(error))
                continue
            wait = tries.pause_after_answer(response.status, response.headers)
            if wait is None:
                return read_object(response, self._server, request.id)
            await asyncio.sleep(wait)

    async def _exchange(self, request: Request, most: int) -> Response:
        async with self._http.stream(
            request.method, request.path, params=request.parameters, content=request.body, headers=request.headers
        ) as answer:
            headers = dict(answer.headers)
            body = await read_body(answer.aiter_raw(), headers, most, self._server)
            return Response(answer.status_code, answer.reason_phrase, headers, body, answer.has_redirect_location)
