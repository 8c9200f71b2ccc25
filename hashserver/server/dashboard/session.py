"""Sessions: who has signed in, in a signed cookie; nothing is kept on the server.

A token names a party and the number of the key that it signed in with, and both are looked up at
every request: revoking a key or disabling a party ends its sessions as soon as the worker knows.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadData, Signer, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

COOKIE = "hashserver_session"
SESSION_SECONDS = 8 * 3600
_NONCE_BYTES = 8  # make each token another one


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in.

    Args:
        party: its number.
        key: number of the key it did so with.
    """

    party: int
    key: int


class _OneSpelling(TimestampSigner):
    """Refuses signatures that merely decode to the right one: base64 has several spellings."""

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        text = sig.encode() if isinstance(sig, str) else sig
        return super().verify_signature(value, text) and base64_encode(base64_decode(text)) == text


class SessionSigner:
    """Makes and reads the tokens of sessions, and those of their forms.

    Args:
        secret: of the data folder; all workers, and a restarted server, accept each other's tokens.
    """

    def __init__(self, secret: bytes) -> None:
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self._sessions = URLSafeTimedSerializer(
            secret, salt=b"dashboard session", signer=_OneSpelling, signer_kwargs=options
        )
        self._forms = Signer(secret, salt=b"dashboard form", key_derivation="hmac", digest_method=hashlib.sha256)

    def issue(self, party: int, key: int) -> str:
        """A token that is valid for SESSION_SECONDS; see `Session`."""
        token = self._sessions.dumps([party, key, secrets.token_urlsafe(_NONCE_BYTES)])
        return token if isinstance(token, str) else token.decode()

    def read(self, token: str) -> Session | None:
        """Who a token stands for; None if it was not issued here, was changed, or has expired."""
        if not token.isascii():
            return None
        try:
            party, key, _ = self._sessions.loads(token, max_age=SESSION_SECONDS)
        except BadData:
            return None
        return Session(party, key)

    def form_token(self, token: str) -> str:
        """What the forms of a session carry, so that no other site can send them: 64 digits."""
        signature = self._forms.get_signature(token.encode("utf-8", "surrogatepass"))
        return base64_decode(signature).hex()

    def is_form_token(self, token: str, given: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.form_token(token).encode(), given.encode("utf-8", "surrogatepass"))
