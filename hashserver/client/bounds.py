"""Answers within bounds: so many bytes, so many values, none of them packed.

A broken or hostile server must not take the memory of those who ask it. What an answer may hold
follows from what was asked, up to a limit; a batch whose answer is larger is asked in halves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import orjson

from hashcore.text.printable import printable
from hashserver.client.errors import ClientError

LEAST_BYTES, BYTES_PER_HASH, MOST_BYTES = 8 << 20, 1 << 10, 32 << 20
_MOST_VALUES = 1_000_000  # of JSON: each becomes an object of fifty bytes and more


class AnswerTooLarge(ClientError):
    """An answer beyond the bounds; the same question in parts may have answers within them."""


def most_bytes(hashes: int) -> int:
    """How large the answer to a question about so many hashes may be."""
    return min(MOST_BYTES, LEAST_BYTES + hashes * BYTES_PER_HASH)


async def read_body(pieces: AsyncIterator[bytes], headers: Mapping[str, str], most: int, server: str) -> bytes:
    """The body of an answer, as it comes over the network.

    Args:
        pieces: of the body, not unpacked.
        headers: of the answer.
        most: bytes.
        server: its URL, for the messages.

    Raises:
        AnswerTooLarge: it is longer, or says that it will be.
        ClientError: it is compressed, which was not asked for.
    """
    if (coding := headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise ClientError(
            f"{server} sent its answer compressed ({printable(coding)}), though it was asked not to; check the "
            "proxy in front of it",
            refused=True,
        )
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise _too_large(server, most)
    body = bytearray()
    async for piece in pieces:
        if len(body) + len(piece) > most:
            raise _too_large(server, most)
        body += piece
    return bytes(body)


def read_json(body: bytes, server: str) -> object:
    """The value that JSON holds; None when it is no JSON, or is nested more than 1,024 deep.

    Raises:
        AnswerTooLarge: it holds too many values.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MOST_VALUES:
        raise AnswerTooLarge(f"{server} answered with more than {_MOST_VALUES:,} values", refused=True)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _too_large(server: str, most: int) -> AnswerTooLarge:
    return AnswerTooLarge(f"{server} answered with more than {most:,} bytes; is it a hashserver?", refused=True)
