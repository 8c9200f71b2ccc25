"""The tables `parties` and `keys`. Permissions and sets are JSON in the file, and lists here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import orjson


class PartyRecord(NamedTuple):
    """A row of `parties`.

    Args:
        number: its id.
        name: unique whatever its case.
        created, disabled: Unix milliseconds; `disabled` is None while it is enabled.
        permissions: names.
        sets: names of match sets, or None for all.
        max_rate: hashes per second, or None.
        daily_quota: hashes per day, or None.
    """

    number: int
    name: str
    created: int
    disabled: int | None
    permissions: list[str]
    sets: list[str] | None
    max_rate: float | None
    daily_quota: int | None


class KeyRecord(NamedTuple):
    """A row of `keys`; times are Unix milliseconds."""

    number: int
    party: int
    digest: bytes
    created: int
    expires: int | None
    revoked: int | None


def all_parties(connection: sqlite3.Connection) -> list[PartyRecord]:
    """All parties by name, those that are enabled first."""
    return list(_parties(connection, "ORDER BY disabled IS NOT NULL, name COLLATE NOCASE"))


def find_party(connection: sqlite3.Connection, name: str) -> PartyRecord | None:
    """The party of a name, whatever its case."""
    return next(_parties(connection, "WHERE name = ?", name), None)


def party_names(connection: sqlite3.Connection) -> dict[int, str]:
    """Names by number, in the order of names."""
    return dict(connection.execute("SELECT id, name FROM parties ORDER BY name COLLATE NOCASE"))


def add_party(
    connection: sqlite3.Connection,
    *,
    name: str,
    created: int,
    permissions: list[str],
    sets: list[str] | None,
    max_rate: float | None,
    daily_quota: int | None,
) -> int:
    """Add an enabled party, and return its number; see `PartyRecord`."""
    cursor = connection.execute(
        "INSERT INTO parties (name, created, permissions, sets, max_rate, daily_quota) VALUES (?, ?, ?, ?, ?, ?)",
        (name, created, _text(permissions), _text(sets), max_rate, daily_quota),
    )
    return int(cursor.lastrowid or 0)


def change_party(
    connection: sqlite3.Connection,
    number: int,
    *,
    permissions: list[str],
    sets: list[str] | None,
    max_rate: float | None,
    daily_quota: int | None,
) -> None:
    """Replace all that a party may do."""
    connection.execute(
        "UPDATE parties SET permissions = ?, sets = ?, max_rate = ?, daily_quota = ? WHERE id = ?",
        (_text(permissions), _text(sets), max_rate, daily_quota, number),
    )


def set_disabled(connection: sqlite3.Connection, number: int, when: int | None) -> None:
    """Disable a party as of a time (Unix milliseconds), or enable it with None."""
    connection.execute("UPDATE parties SET disabled = ? WHERE id = ?", (when, number))


def keys_of(connection: sqlite3.Connection, party: int) -> list[KeyRecord]:
    """All keys of a party, revoked ones too, oldest first."""
    return list(_keys(connection, "WHERE party = ?", party))


def unrevoked_keys(connection: sqlite3.Connection) -> list[KeyRecord]:
    """The keys of all parties that were not revoked, oldest first; some may have expired."""
    return list(_keys(connection, "WHERE revoked IS NULL"))


def add_key(connection: sqlite3.Connection, party: int, digest: bytes, created: int) -> None:
    """Add a key that does not expire, as the digest that is kept of it."""
    connection.execute("INSERT INTO keys (party, digest, created) VALUES (?, ?, ?)", (party, digest, created))


def expire_keys(connection: sqlite3.Connection, party: int, when: int) -> None:
    """Let the unrevoked keys of a party expire at a time (ms), unless they do so earlier."""
    connection.execute(
        "UPDATE keys SET expires = min(coalesce(expires, ?1), ?1) WHERE party = ?2 AND revoked IS NULL",
        (when, party),
    )


def revoke_key(connection: sqlite3.Connection, number: int, when: int) -> None:
    """Revoke a key as of a time (Unix milliseconds)."""
    connection.execute("UPDATE keys SET revoked = ? WHERE id = ?", (when, number))


def _parties(connection: sqlite3.Connection, chosen: str, *values: object) -> Iterator[PartyRecord]:
    rows = connection.execute(f"{_PARTIES} {chosen}", values)
    for number, name, created, disabled, permissions, sets, max_rate, daily_quota in rows:
        names = None if sets is None else orjson.loads(sets)
        yield PartyRecord(number, name, created, disabled, orjson.loads(permissions), names, max_rate, daily_quota)


def _keys(connection: sqlite3.Connection, chosen: str, *values: object) -> Iterator[KeyRecord]:
    return map(KeyRecord._make, connection.execute(f"{_KEYS} {chosen} ORDER BY id", values))


def _text(names: list[str] | None) -> str | None:
    return None if names is None else orjson.dumps(names).decode()


_PARTIES = "SELECT id, name, created, disabled, permissions, sets, max_rate, daily_quota FROM parties"
_KEYS = "SELECT id, party, digest, created, expires, revoked FROM keys"
