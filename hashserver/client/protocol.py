"""Requests to a server and its answers, without sending or waiting; both clients share them."""

from __future__ import annotations

import random
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal, get_args

import httpx
import orjson

from hashcore.hashtypes import HashType
from hashcore.rows import Digests
from hashserver import __version__
from hashserver.client.errors import ClientError
from hashserver.client.hashes import RequestBatch
from hashserver.client.proxies import proxy_for
from hashserver.client.results import CheckResult, Entry, Invalid, Match

Verdict = Literal["false-positive", "confirmed"]

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 30.0  # seconds
_PASSING = frozenset({429, 502, 503, 504})
_NOT_TAKEN = frozenset({429, 503})  # passing, and the server has certainly not acted
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, which may be sent several times.

    Args:
        method, path, parameters, body, content_type: of HTTP.
        repeatable: it changes nothing, so it may be sent again when it is not known to have
            arrived.
        id: the same for every try, so that a server can count a repeated request once.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None
    repeatable: bool = True
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every try."""
        headers = {"X-Request-Id": self.id}
        return headers if self.content_type is None else headers | {"Content-Type": self.content_type}


def check_request(hash_type: HashType, digests: Digests, max_distance: int | None = None) -> Request:
    """Ask about digests of one type, uint8[n, width]."""
    parameters = {"type": hash_type.name}
    if max_distance is not None:
        parameters["max_distance"] = str(max_distance)
    return Request("POST", "/v2/check", parameters, digests.tobytes(), "application/octet-stream")


def feedback_request(*, set: str, id: str, verdict: Verdict, note: str) -> Request:
    """Say what an entry turned out to be.

    Raises:
        ValueError: there is no such verdict.
    """
    if verdict not in get_args(Verdict):
        raise ValueError(f"a verdict is one of {', '.join(get_args(Verdict))}, not {verdict!r}")
    body = orjson.dumps({"set": set, "id": id, "verdict": verdict, "note": note})
    return Request("POST", "/v2/feedback", body=body, content_type="application/json", repeatable=False)


def http_options(url: str, key: str | None, *, connections: int, timeout: float) -> dict[str, Any]:
    """How either client of httpx is set up.

    Raises:
        ClientError: the key cannot be one, or the environment names a proxy that cannot be used.
    """
    headers = {"User-Agent": f"hashserver/{__version__}", "Accept": "application/json"}
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ClientError("the API key contains characters that no key has; was it copied correctly?")
        headers["Authorization"] = f"Bearer {key}"
    return {
        "base_url": url,
        "headers": headers,
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        # Waiting for one of our own connections is no trouble of the server's.
        "timeout": httpx.Timeout(timeout, pool=None),
        # httpx would look for proxies itself, and stop at any that it does not understand.
        "proxy": proxy_for(url),
        "verify": _certificates(),
        "trust_env": False,
    }


def _certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        raise ClientError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}"
        ) from error


def not_a_url(url: str, error: Exception) -> ClientError:
    """What to raise when httpx cannot make sense of the URL."""
    return ClientError(f"{url!r} is not the URL of a server: {error}")


class Tries:
    """The tries of one request: how long to wait after one that failed, or why there is no other.

    Args:
        request: what is sent.
        server: its URL, for the messages.
        retries: how often to try again.
    """

    def __init__(self, request: Request, server: str, retries: int) -> None:
        self._request, self._server, self._retries = request, server, retries
        self._failed = 0

    def pause_after_error(self, error: httpx.RequestError) -> float:
        """Seconds to wait after a try that brought no answer.

        Raises:
            ClientError: another try is pointless, was the last, or might do the same thing twice.
        """
        if isinstance(error, httpx.UnsupportedProtocol):
            sentence = f"{self._server!r} is not the URL of a server; start it with http:// or https://"
            raise ClientError(sentence, refused=True) from error
        reason = str(error) or type(error).__name__
        if not (self._request.repeatable or isinstance(error, _NOT_SENT)):
            raise ClientError(
                f"{self._server} broke the connection: {reason}; it is not known whether it took the request"
            ) from error
        if self._failed == self._retries:
            raise ClientError(
                f"{self._server} cannot be reached: {reason}; tried {self._failed + 1} times"
            ) from error
        self._failed += 1
        return pause(self._failed, None)

    def pause_after_answer(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Seconds to wait when the server is busy; None when its answer is to be read."""
        passing = _PASSING if self._request.repeatable else _NOT_TAKEN
        if status not in passing or self._failed == self._retries:
            return None
        self._failed += 1
        return pause(self._failed, retry_after(headers.get("retry-after"), time.time()))


def pause(failed: int, asked: float | None) -> float:
    """Seconds to wait after so many failed tries, with jitter.

    As long as the server asks, or else twice as long each time.

    Neither is longer than half a minute, the jitter apart; jitter never makes it shorter than the
    server asks.
    """
    if asked is not None:
        return min(_LONGEST_WAIT, asked) * random.uniform(1.0, 1.25)  # noqa: S311 - no secret
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (failed - 1)) * random.uniform(0.75, 1.25)  # noqa: S311


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for; None when it is missing or cannot be read.

    Source: RFC 9110, section 10.2.3, seconds or a date.

    Args:
        header: its value.
        now: Unix seconds.
    """
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def read_object(response: httpx.Response, server: str) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        ClientError: the server refuses, or what answers is no hashserver.
    """
    status = response.status_code
    if response.has_redirect_location:
        raise ClientError(f"{server} redirects to {response.headers['location']}; use that URL", refused=True)
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ClientError(
            f"{server} answered {status} with something that is not JSON; is it a hashserver?",
            refused=status in (401, 403),
        )
    if not 200 <= status < 300:
        reason = answer.get("detail") or answer.get("title") or response.reason_phrase
        raise ClientError(f"{server} refused ({status}): {reason}", refused=status not in _PASSING)
    return answer


def read_sets(answer: dict[str, Any], server: str) -> dict[str, Any]:
    """The answer about the sets.

    Raises:
        ClientError: this is not an answer of a hashserver.
    """
    if not answer.keys() >= {"generation", "sets"}:
        raise _stranger(server)
    return answer


def read_check(answer: dict[str, Any], batch: RequestBatch, server: str) -> CheckResult:
    """The answer to a check, with the caller's indices.

    Raises:
        ClientError: this is not an answer of a hashserver.
    """
    places = batch.places
    try:
        return CheckResult(
            (int(answer["generation"]),),
            {str(name): int(count) for name, count in answer["checked"].items()},
            tuple(
                Match(
                    match["type"],
                    int(places[match["index"]]),
                    match["hash"],
                    match["distance"],
                    tuple(Entry(entry["set"], entry["category"], entry["id"]) for entry in match["entries"]),
                    match.get("truncated", False),
                )
                for match in answer["matches"]
            ),
            tuple(
                Invalid(one["type"], int(places[one["index"]]), one["reason"]) for one in answer.get("invalid", ())
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise _stranger(server) from error


def _stranger(server: str) -> ClientError:
    return ClientError(f"{server} did not answer like a hashserver; is it one?", refused=True)
