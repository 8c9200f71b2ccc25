"""Requests to a server and its answers, without sending or waiting; both clients share them."""

from __future__ import annotations

import math
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
from hashcore.text.printable import printable
from hashserver import __version__
from hashserver.client.bounds import read_json
from hashserver.client.errors import ClientError
from hashserver.client.hashes import RequestBatch
from hashserver.client.proxies import proxy_for
from hashserver.client.results import CheckResult, Entry, Match

Verdict = Literal["false-positive", "confirmed"]

_MOST_SAID = 500  # letters of a server's sentence that are passed on
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 30.0  # seconds
_SLOWEST_UPLOAD = 100_000.0  # bytes per second: a large body may take longer to send
_LEAST_TRY = 5.0  # seconds that a try has, however little patience is left
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
    headers = {
        "User-Agent": f"hashserver/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
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
        patience: seconds after which no other try begins; None for no limit.
    """

    def __init__(self, request: Request, server: str, retries: int, patience: float | None = None) -> None:
        self._request, self._server, self._retries = request, server, retries
        self._until = math.inf if patience is None else time.monotonic() + patience
        self._failed = 0

    def seconds(self, timeout: float) -> float:
        """How long the next try may take as a whole, what is sent and what is received together."""
        body = len(self._request.body or b"") / _SLOWEST_UPLOAD
        return min(timeout + body, max(_LEAST_TRY, self._until - time.monotonic()))

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
        wait = self._next_pause(None)
        if wait is None:
            tried = f"tried {self._failed + 1} times" if self._failed else "tried once"
            raise ClientError(f"{self._server} cannot be reached: {reason}; {tried}") from error
        return wait

    def pause_after_answer(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Seconds to wait when the server is busy; None when its answer is to be read."""
        passing = _PASSING if self._request.repeatable else _NOT_TAKEN
        if status not in passing:
            return None
        return self._next_pause(retry_after(headers.get("retry-after"), time.time()))

    def _next_pause(self, asked: float | None) -> float | None:
        """Seconds to wait; None when there is no other try."""
        if self._failed == self._retries:
            return None
        wait = pause(self._failed + 1, asked)
        if time.monotonic() + wait > self._until:
            return None
        self._failed += 1
        return wait


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


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that has been read to its end, within bounds.

    Args:
        status, reason, headers, body: of HTTP.
        is_redirect: it names another place.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    is_redirect: bool = False


def read_object(response: Response, server: str, request_id: str | None = None) -> dict[str, Any]:
    """The JSON object of an answer.

    Args:
        response: the answer.
        server: its URL, for the messages.
        request_id: that was sent; an answer that carries another one belongs to another request.

    Raises:
        ClientError: the server refuses, the answer is to another request, or what answers is no
            hashserver.
    """
    status = response.status
    if response.is_redirect:
        place = printable(response.headers["location"][:_MOST_SAID])
        raise ClientError(f"{server} redirects to {place}; use that URL", refused=True)
    answer = read_json(response.body, server)
    if not isinstance(answer, dict):
        raise ClientError(
            f"{server} answered {status} with something that is not JSON; is it a hashserver?",
            refused=status in (401, 403),
        )
    if not 200 <= status < 300:
        reason = str(answer.get("detail") or answer.get("title") or response.reason)[:_MOST_SAID]
        raise ClientError(f"{server} refused ({status}): {printable(reason)}", refused=status not in _PASSING)
    told = response.headers.get("x-request-id")
    if request_id is not None and told not in (None, request_id):
        raise ClientError(
            f"{server} gave the answer to another request: it carries another X-Request-Id; a proxy in between "
            "must neither cache answers nor change this header",
            refused=True,
        )
    return answer


def read_sets(answer: dict[str, Any], server: str) -> dict[str, Any]:
    """The answer about the sets.

    Raises:
        ClientError: this is not an answer of a hashserver.
    """
    try:
        _number(answer["generation"])
        for each in answer["sets"]:
            _text(each["name"])
            _text(each["role"])
            for name, count in each["hashes"].items():
                _text(name)
                _number(count)
        for name in ("store", "state", "published"):
            if answer.get(name) is not None:
                _text(answer[name])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _stranger(server) from error
    return answer


def read_check(answer: dict[str, Any], batch: RequestBatch, server: str) -> CheckResult:
    """The answer to a check, with the caller's indices.

    All that was asked must have been checked, and what matched must be among it: a server that
    looked at less has not said that the rest is unknown.

    Raises:
        ClientError: this is not an answer of a hashserver, or not to this question.
    """
    try:
        checked = {_text(name): _number(count) for name, count in answer["checked"].items()}
        invalid = len(_list(answer.get("invalid", [])))
        matches = tuple(_match(match, batch, server) for match in _list(answer["matches"]))
        generation = _number(answer["generation"])
        store, state = _text(answer.get("store", "")), _text(answer.get("state", ""))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _stranger(server) from error
    name, sent = batch.hash_type.name, len(batch.digests)
    if invalid:
        raise _amiss(server, f"calls {invalid:,} of {sent:,} well-formed {name} hashes invalid")
    if checked.get(name, 0) != sent or any(count for other, count in checked.items() if other != name):
        counts = ", ".join(f"{count:,} {printable(other)}" for other, count in checked.items()) or "none"
        raise _amiss(server, f"has checked {counts[:_MOST_SAID]} of {sent:,} {name} hashes that were sent")
    return CheckResult((generation,), checked, matches, (), store, (state,) if state else ())


def _match(match: dict[str, Any], batch: RequestBatch, server: str) -> Match:
    index, hash_type = _number(match["index"]), batch.hash_type
    if index >= len(batch.digests) or match["type"] != hash_type.name:
        raise _amiss(server, "names a hash that was not sent")
    if match["hash"] != batch.digests[index].tobytes().hex():
        raise _amiss(server, "names another hash than was sent at its index")
    distance, most = _number(match["distance"]), hash_type.greatest_distance if hash_type.is_near else 0
    if distance > (most if batch.max_distance is None else batch.max_distance):
        raise _amiss(server, f"calls a hash at a distance of {distance:,} a match")
    entries = tuple(
        Entry(_text(entry["set"]), _text_or_none(entry["category"]), _text_or_none(entry["id"]))
        for entry in _list(match["entries"])
    )
    if not entries:
        raise ValueError("a match without an entry")
    return Match(
        hash_type.name, int(batch.places[index]), match["hash"], distance, entries, bool(match.get("truncated"))
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("not a count")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _stranger(server: str) -> ClientError:
    return ClientError(f"{server} did not answer like a hashserver; is it one?", refused=True)


def _amiss(server: str, what: str) -> ClientError:
    return ClientError(
        f"the answer of {server} is not to what was asked: it {what}; nothing in it is taken for an answer",
        refused=True,
    )
