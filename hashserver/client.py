"""Talking to a server: batches of packed hashes over several connections, retried when that is safe."""

from __future__ import annotations

import random
import time
from types import TracebackType
from typing import Any

import httpx
import orjson

from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashserver import __version__

_RETRIES = 6
_LONGEST_WAIT = 30.0
_PASSING = frozenset({429, 502, 503, 504})


class ClientError(Exception):
    """The server cannot be reached, or does not answer as it should; the message says what to do.

    Args:
        message: the sentence.
        refused: the server has answered, and trying again will not help.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Client:
    """A connection pool to one server; threads share it.

    Args:
        server: root URL.
        key: API key, or None where the server needs none.
        connections: requests under way at once.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self, server: str, key: str | None = None, *, connections: int = 4, timeout: float = 60.0
    ) -> None:
        self._server = server.rstrip("/")
        headers = {"User-Agent": f"hashserver/{__version__}", "Accept": "application/json"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ClientError("the API key holds characters that no key has; was it copied whole?")
            headers["Authorization"] = f"Bearer {key}"
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        try:
            self._http = httpx.Client(base_url=self._server, headers=headers, limits=limits, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:
            raise ClientError(f"{server!r} is not the URL of a server: {error}") from error
        self.connections = connections

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def check(self, kind: HashType, digests: Digests, max_distance: int | None = None) -> dict[str, Any]:
        """Check digests of one type, uint8[n, width], in one request.

        A perceptual type matches up to `max_distance`, or to each set's own distance when that is None.

        A check changes nothing, so it is sent again when the connection breaks or the server is busy.

        Raises:
            ClientError: when the server refuses, or after the last try.
        """
        parameters = {"type": kind.name}
        if max_distance is not None:
            parameters["max_distance"] = str(max_distance)
        return self._post("/v2/check", parameters, digests.tobytes())

    @property
    def server(self) -> str:
        """The root URL."""
        return self._server

    def sets(self) -> dict[str, Any]:
        """The sets that the server has, and its generation.

        Raises:
            ClientError: as for `check`.
        """
        answer = self._send("GET", "/v2/sets", {}, None)
        if not answer.keys() >= {"generation", "sets"}:
            raise ClientError(f"{self._server} did not answer as a hashserver does; is it one?", refused=True)
        return answer

    def _post(self, path: str, parameters: dict[str, str], body: bytes) -> dict[str, Any]:
        answer = self._send("POST", path, parameters, body)
        if not answer.keys() >= {"generation", "checked", "matches"}:
            raise ClientError(f"{self._server} did not answer as a hashserver does; is it one?", refused=True)
        return answer

    def _send(self, method: str, path: str, parameters: dict[str, str], body: bytes | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
        for attempt in range(_RETRIES + 1):
            try:
                response = self._http.request(method, path, params=parameters, content=body, headers=headers)
            except httpx.UnsupportedProtocol as error:
                raise ClientError(
                    f"{self._server!r} is not the URL of a server; begin it with http:// or https://",
                    refused=True,
                ) from error
            except httpx.TransportError as error:
                if attempt == _RETRIES:
                    raise ClientError(
                        f"{self._server} cannot be reached: {error or type(error).__name__}; "
                        f"tried {attempt + 1} times"
                    ) from error
                _pause(attempt, None)
                continue
            if response.status_code in _PASSING and attempt < _RETRIES:
                _pause(attempt, response.headers.get("retry-after"))
                continue
            return self._read(response)
        raise AssertionError("the last attempt returns or raises")

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise ClientError(
                f"{self._server} answered {response.status_code} with something that is not JSON; "
                "is it a hashserver?"
            )
        if response.status_code != 200:
            reason = answer.get("detail") or answer.get("title") or response.reason_phrase
            refused = response.status_code not in _PASSING
            raise ClientError(
                f"{self._server} refused the check ({response.status_code}): {reason}", refused=refused
            )
        return answer


def _pause(attempt: int, retry_after: str | None) -> None:
    """Wait before another try: as long as the server says, or twice as long each time, with jitter."""
    wait = min(_LONGEST_WAIT, 0.25 * 2**attempt)
    if retry_after is not None and retry_after.isdigit():
        wait = min(_LONGEST_WAIT, float(retry_after))
    time.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, no secret
