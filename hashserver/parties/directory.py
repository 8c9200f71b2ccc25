"""The parties as a worker knows them: read from the ledger, and again whenever they change."""

from __future__ import annotations

import base64
import hmac
import time
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from hashserver.ledger import Ledger, LedgerError
from hashserver.ledger.tables.meta import CLOSED, PARTIES_VERSION, read_number
from hashserver.ledger.tables.parties import all_parties, unrevoked_keys
from hashserver.parties.keys import MOST_KEY_BYTES, Digester, read_secret
from hashserver.parties.party import LOCAL, Party

_MOST_HEADER = 4 * MOST_KEY_BYTES


class NotAuthenticated(Exception):
    """A request has no valid key; the message says what to send instead."""


class NotPermitted(Exception):
    """A party is known, but may not do this; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is not revoked.

    Args:
        number: in the ledger.
        digest: what is kept of it.
        party: that it belongs to.
        expires: Unix seconds, or None.
    """

    number: int
    digest: bytes = field(repr=False)
    party: Party
    expires: float | None

    def is_valid(self, now: float) -> bool:
        """Whether it is valid at a time (Unix seconds)."""
        return self.expires is None or now < self.expires


class Directory:
    """Finds the party that a key belongs to.

    Args:
        folder: the data folder.

    Raises:
        LedgerError, SecretError: the parties, or the secret of their keys, cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder, read_only=True)
        try:
            self._digest_of = Digester(read_secret(self._ledger))
        except BaseException:
            self._ledger.close()
            raise
        self._seen: int | None = -1
        self._any = False
        self._closed = False
        self._by_digest: dict[bytes, Key] = {}
        self._by_number: dict[int, Key] = {}
        self.parties: dict[int, Party] = {}
        self.refresh()

    def close(self) -> None:
        """Close the connection to the ledger; no party can be looked up afterwards."""
        self._ledger.close()

    @property
    def is_open(self) -> bool:
        """Whether there never was a party, so that anybody on this machine may ask."""
        return not self._any and not self._closed

    @property
    def is_closed(self) -> bool:
        """Whether there are no parties, but may have been, so that nobody may ask."""
        return self._closed and not self._any

    def check_in_place(self) -> None:
        """Make sure that the ledger is the one that was opened; see `Ledger.check_in_place`."""
        self._ledger.check_in_place()

    def refresh(self) -> bool:
        """Read the parties again if they have changed; returns whether they have.

        Raises:
            LedgerError: they cannot be read, or are gone, although no party is ever deleted.
        """
        with self._ledger.reading() as connection:
            version = read_number(connection, PARTIES_VERSION)
            if version == self._seen:
                return False
            rows, keys = all_parties(connection), unrevoked_keys(connection)
            closed = bool(read_number(connection, CLOSED))
        if self._any and not rows:
            raise LedgerError(f"{self._ledger.file} has lost its parties; restore it from a backup")
        parties = {
            row.number: Party(
                row.number,
                row.name,
                frozenset(row.permissions),
                None if row.sets is None else frozenset(row.sets),
                row.max_rate,
                row.daily_quota,
            )
            for row in rows
            if row.disabled is None
        }
        known = [
            Key(key.number, key.digest, parties[key.party], None if key.expires is None else key.expires / 1000)
            for key in keys
            if key.party in parties
        ]
        self._by_digest = {key.digest: key for key in known}
        self._by_number = {key.number: key for key in known}
        self.parties = parties
        self._any, self._closed = bool(rows), closed
        self._seen = version
        return True

    def authenticate(self, authorization: str | None) -> Party:
        """The party that an Authorization header names, by Bearer key or by Basic name and key.

        Raises:
            NotAuthenticated: there is no valid key in it.
        """
        if self.is_open:
            return LOCAL
        if self.is_closed:
            raise NotAuthenticated(
                "this server's ledger is new and knows no parties; the operator has to add one with hashserver "
                "party add"
            )
        if not authorization:
            raise NotAuthenticated("this server answers parties only; send Authorization: Bearer KEY")
        scheme, _, credentials = authorization[:_MOST_HEADER].partition(" ")
        scheme = scheme.lower()
        if scheme == "bearer":
            key = self.find_key(credentials.strip())
        elif scheme == "basic":
            key = self._basic(credentials.strip())
        else:
            raise NotAuthenticated("the Authorization header is neither Bearer nor Basic; send Bearer KEY")
        if key is None:
            raise NotAuthenticated("the key is unknown, expired or revoked; ask the operator for a new one")
        return key.party

    def find_key(self, key: str) -> Key | None:
        """The key as the ledger has it, or None if it is not valid."""
        # The time that the lookup takes only tells something of digests under our secret, whose
        # bits nobody can choose.
        digest = self._digest_of(key[: MOST_KEY_BYTES + 1])
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        return found if found.expires is None or found.is_valid(time.time()) else None

    def key_of(self, number: int) -> Key | None:
        """The key with a number, if it is still valid."""
        found = self._by_number.get(number)
        return found if found is not None and found.is_valid(time.time()) else None

    def _basic(self, credentials: str) -> Key | None:
        try:
            name, _, key = base64.b64decode(credentials, validate=True).partition(b":")
            found = self.find_key(key.decode("ascii"))
        except ValueError:  # not base64, or not ASCII
            raise NotAuthenticated("the credentials of HTTP Basic are not base64 of NAME:KEY") from None
        if found is None or not any(
            hmac.compare_digest(_comparable(found.party.name), _comparable(each)) for each in _readings(name)
        ):
            return None
        return found


def _readings(name: bytes) -> list[str]:
    """What a name in HTTP Basic may say: some clients send UTF-8, others Latin-1."""
    return [*([name.decode()] if _is_utf8(name) else []), name.decode("latin-1")]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _comparable(name: str) -> bytes:
    return unicodedata.normalize("NFC", name).casefold().encode("utf-8", "surrogatepass")


def require(party: Party, permission: str) -> None:
    """Refuse what a party may not do.

    Raises:
        NotPermitted: it does not have the permission.
    """
    if not party.may(permission):
        raise NotPermitted(f"party {party.name!r} has no permission to {permission}; the operator can allow it")
