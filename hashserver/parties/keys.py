"""API keys: random, shown once, kept as a digest under a secret of the data folder.

The digest is keyed BLAKE2b (RFC 7693). With the ledger alone, without the secret beside it, nobody
can test guesses.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hashserver.errors import Trouble
from hashserver.ledger import Ledger
from hashserver.ledger.tables.meta import SECRET_MARK, read_number, set_number
from hashserver.ledger.tables.parties import party_names, unrevoked_keys
from hashserver.times import now_ms

PREFIX = "hs_"
MOST_KEY_BYTES = 200
SECRET_FILE = "key-secret"  # noqa: S105 - a file name
_SECRET_BYTES = 32


class SecretError(Trouble):
    """The secret cannot be read; the message says what to do."""


def new_key() -> str:
    """A key of 256 random bits, as text that begins with PREFIX."""
    return PREFIX + secrets.token_urlsafe(32)


class Digester:
    """Computes what is stored of a key: its BLAKE2b under a secret.

    Args:
        secret: of a ledger's folder, see `read_secret`.
    """

    def __init__(self, secret: bytes) -> None:
        self._keyed = hashlib.blake2b(key=secret, digest_size=32)  # half of the work, and the same for all keys

    def __call__(self, key: str) -> bytes:
        """The 32 bytes that are stored of a key."""
        hasher = self._keyed.copy()
        hasher.update(key.encode("utf-8", "surrogatepass"))
        return hasher.digest()


def read_secret(ledger: Ledger) -> bytes:
    """The secret of a ledger's folder, made on first use.

    Raises:
        SecretError: it is damaged; or it is missing, or another one, although parties have keys,
            which would all stop working.
    """
    file = ledger.folder / SECRET_FILE
    with suppress(FileNotFoundError):
        secret = _checked(file)
        mark = read_number(ledger.connection, SECRET_MARK)
        if mark is not None and mark != _mark(secret):
            _refuse_if_needed(ledger, f"{file} is not the one that the keys were made with, so no key works")
        return secret
    # Another process may have made the first secret, and a key under it, in between.
    _refuse_if_needed(ledger, f"{file} is missing, and without it no key works", lambda: not file.exists())
    return _make(file)


def mark_secret(connection: sqlite3.Connection, secret: bytes) -> None:
    """Note which secret a new key is made with, in the transaction that adds the key."""
    set_number(connection, SECRET_MARK, _mark(secret))


def _mark(secret: bytes) -> int:
    """A number that tells secrets apart, and tells nothing of them: they are as good as random."""
    return int.from_bytes(hashlib.blake2b(secret, digest_size=7, person=b"secret mark").digest())


def _refuse_if_needed(ledger: Ledger, trouble: str, still: Callable[[], bool] = lambda: True) -> None:
    now = now_ms()
    valid = [key for key in unrevoked_keys(ledger.connection) if key.expires is None or key.expires > now]
    if not valid or not still():
        return
    name = party_names(ledger.connection)[valid[0].party]
    raise SecretError(
        f"{trouble}; restore it from a backup, or revoke all {len(valid):,} keys, beginning with hashserver party "
        f"remove-key {shlex.quote(name)} {valid[0].number}, and issue new ones with hashserver party rotate-key"
    )


def _make(file: Path) -> bytes:
    folder = file.parent
    # Made whole under another name first: two processes may start at once, and both must end with
    # the same.
    new = folder / f".{SECRET_FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_SECRET_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink()
    _sync(folder)  # a power cut must not leave digests without the secret
    return _checked(file)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(file: Path) -> bytes:
    secret = file.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise SecretError(
            f"{file} is damaged; restore it from a backup, or delete it, revoke all keys and issue new ones"
        )
    return secret
