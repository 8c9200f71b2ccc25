"""Sessions: who has signed in, in a signed cookie; nothing is kept on the server.

A token names a party and the number of the key that it signed in with, and both are looked up at
every request: a removed key or a disabled party ends its sessions as soon as the worker knows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass

COOKIE = "hashserver_session"
SESSION_SECONDS = 8 * 3600
_FIELDS = struct.Struct(">qqdd8s")  # party, key, issued, expires, nonce
_MAC_BYTES = 32
_TOKEN_CHARACTERS = 4 * -(-(_FIELDS.size + _MAC_BYTES) // 3)


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in.

    Args:
        party: its number.
        key: number of the key it did so with.
        issued, expires: Unix seconds.
        nonce: 8 random bytes that make the token another one each time.
    """

    party: int
    key: int
    issued: float
    expires: float
    nonce: bytes


class Signer:
    """Makes and reads tokens.

    Args:
        secret: of the data folder; all workers, and a restarted server, accept each other's tokens.
    """

    def __init__(self, secret: bytes) -> None:
        self._session = hashlib.blake2b(b"sessions", key=secret, person=b"dashboard").digest()
        self._form = hashlib.blake2b(b"forms", key=secret, person=b"dashboard").digest()

    def issue(self, party: int, key: int, now: float) -> str:
        """A token that is good for SESSION_SECONDS."""
        fields = _FIELDS.pack(party, key, now, now + SESSION_SECONDS, secrets.token_bytes(8))
        return self._signed(fields).decode()

    def read(self, token: str, now: float) -> Session | None:
        """Who a token stands for, or None if it was not issued here, was changed, or has expired."""
        if len(token) != _TOKEN_CHARACTERS or not token.isascii():
            return None
        try:
            fields = base64.urlsafe_b64decode(token)[: _FIELDS.size]
        except binascii.Error:
            return None
        # The text is compared, not what it decodes to: decoding takes "/" for "_" and skips what is
        # no base64.
        if not hmac.compare_digest(self._signed(fields), token.encode()):
            return None
        session = Session(*_FIELDS.unpack(fields))
        return session if session.issued - 60 <= now < session.expires else None

    def _signed(self, fields: bytes) -> bytes:
        return base64.urlsafe_b64encode(fields + _mac(self._session, fields))

    def form_token(self, token: str) -> str:
        """What the forms of a session carry, so that no other site can send them."""
        return _mac(self._form, token.encode("utf-8", "surrogatepass")).hex()

    def is_form_token(self, token: str, given: str) -> bool:
        """Whether a form was ours."""
        return hmac.compare_digest(self.form_token(token).encode(), given.encode("utf-8", "surrogatepass"))


def _mac(key: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=key, digest_size=_MAC_BYTES).digest()
